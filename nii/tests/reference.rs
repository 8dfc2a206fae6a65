//! The examples, the reference, the schema and the types say the same.

#![allow(clippy::unwrap_used, reason = "test support")]

use std::collections::BTreeSet;

use nii::v1::Nii;
use nii::{Strictness, read};
use serde_json::Value;

const FIXTURES: [(&str, &str); 4] = [
    ("disked", include_str!("../fixtures/v1/disked.json")),
    ("diskless", include_str!("../fixtures/v1/diskless.json")),
    ("package", include_str!("../fixtures/v1/package.json")),
    ("stacked", include_str!("../fixtures/v1/stacked.json")),
];
const SCHEMA: &str = include_str!("../../docs/nii.schema.json");
const REFERENCE: &str = include_str!("../../docs/nii.md");

/// Keys of the fixtures that are no fields: free maps.
const FREE: [&str; 5] = ["attributes", "deadlines", "luks_keys", "options", "user_password_hashes"];

#[test]
fn fixtures_are_read_strictly_and_written_the_same() {
    for (name, text) in FIXTURES {
        let nii = document(name, text);
        assert_eq!(document(name, &serde_json::to_string(&nii).unwrap()), nii, "{name}");
    }
}

/// The fixture, which has no findings.
fn document(name: &str, text: &str) -> Nii {
    let (nii, findings) = read(text.as_bytes(), Strictness::Strict).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(findings, [], "{name}");
    nii
}

/// One fixture at least has every field that the types have: one that no fixture shows would have no frozen form.
#[test]
fn the_fixtures_show_every_field_of_the_types() {
    let mut shown = BTreeSet::new();
    let mut written = BTreeSet::new();
    for (name, text) in FIXTURES {
        let fixture: Value = serde_json::from_str(text).unwrap();
        fields(&fixture, &mut shown);
        fields(&serde_json::to_value(document(name, text)).unwrap(), &mut written);
    }
    assert_eq!(written, shown);
    let mut declared = BTreeSet::new();
    for source in [
        include_str!("../src/v1/mod.rs"),
        include_str!("../src/v1/network.rs"),
        include_str!("../src/v1/storage.rs"),
        include_str!("../src/v1/stacked.rs"),
        include_str!("../src/v1/select.rs"),
        include_str!("../src/v1/package.rs"),
    ] {
        let mut renamed = None;
        for line in source.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("#[serde(rename = \"") {
                renamed = rest.split('"').next();
            } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": "))
                && !name.contains(' ')
            {
                declared.insert(renamed.take().unwrap_or(name).to_owned());
            } else if !line.starts_with(['#', '/']) {
                renamed = None;
            }
        }
    }
    // Of `MountAt`, which is on no wire.
    declared.remove("subvolume");
    // Variants that hold a value.
    declared.extend(
        ["mac", "name", "static", "url", "mirrorlist", "metalink", "number", "guid", "filesystem_label"]
            .map(String::from),
    );
    assert_eq!(shown, declared);
}

#[test]
fn the_reference_has_a_row_for_every_field_and_no_other() {
    let mut schema = BTreeSet::new();
    properties(&serde_json::from_str(SCHEMA).unwrap(), &mut schema);
    let rows = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: BTreeSet<String> = rows.map(String::from).collect();
    assert_eq!(rows, schema);
    let mut shown = BTreeSet::new();
    FIXTURES.iter().for_each(|(_, text)| fields(&serde_json::from_str(text).unwrap(), &mut shown));
    assert_eq!(shown, schema);
}

#[test]
fn the_schema_accepts_the_fixtures() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for (name, text) in FIXTURES {
        let fixture: Value = serde_json::from_str(text).unwrap();
        assert_eq!(check(&schema, &schema, &fixture, ""), Ok(()), "{name}");
    }
}

#[test]
fn the_schema_refuses_what_the_types_refuse() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let fixture: Value = serde_json::from_str(FIXTURES[0].1).unwrap();
    for (pointer, value) in [
        ("/version", Value::from(2)),
        ("/install/after", "later".into()),
        ("/network/interfaces/0/ipv4", "slaac".into()),
        ("/storage/disks/0/partitions/0/size_mib", "1".into()),
        ("/node", serde_json::json!({"name": "n001"})),
        ("/boot", serde_json::json!({"kernel_argument": []})),
    ] {
        let mut wrong = fixture.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert!(check(&schema, &schema, &wrong, "").is_err(), "{pointer}");
        assert!(read(wrong.to_string().as_bytes(), Strictness::Strict).is_err(), "{pointer}");
    }
}

fn fields(value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                out.insert(key.clone());
                if !FREE.contains(&key.as_str()) {
                    fields(value, out);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, out)),
        _ => {}
    }
}

fn properties(schema: &Value, out: &mut BTreeSet<String>) {
    if let Some(own) = schema["properties"].as_object() {
        out.extend(own.keys().cloned());
    }
    match schema {
        Value::Object(map) => map.values().for_each(|value| properties(value, out)),
        Value::Array(items) => items.iter().for_each(|item| properties(item, out)),
        _ => {}
    }
}

/// The part of JSON Schema that ours uses; patterns are for editors only.
fn check(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        return check(root, root.pointer(name.trim_start_matches('#')).unwrap(), value, path);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| check(root, choice, value, path).is_ok()).count();
        return if fitting == 1 { Ok(()) } else { Err(format!("{path}: {fitting} of the choices fit")) };
    }
    let wrong = |what: &str| Err(format!("{path}: {value} {what}"));
    if schema.get("const").is_some_and(|only| only != value) {
        return wrong("is not the constant");
    }
    if schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        return wrong("is no choice");
    }
    match schema["type"].as_str() {
        None => Ok(()),
        Some("string") if value.is_string() => Ok(()),
        Some("boolean") if value.is_boolean() => Ok(()),
        Some("integer") => match value.as_u64() {
            Some(n) if n < schema["minimum"].as_u64().unwrap_or(0) => wrong("is too small"),
            Some(n) if n > schema["maximum"].as_u64().unwrap_or(u64::MAX) => wrong("is too large"),
            Some(_) => Ok(()),
            None => wrong("is no integer"),
        },
        Some("array") => value.as_array().map_or(wrong("is no list"), |items| {
            items.iter().try_for_each(|item| check(root, &schema["items"], item, &format!("{path}[]")))
        }),
        Some("object") => value.as_object().map_or(wrong("is no object"), |map| {
            let missing = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|f| !map.contains_key(f.as_str().unwrap()));
            if missing {
                return wrong("lacks a field");
            }
            map.iter().try_for_each(|(key, value)| {
                let path = format!("{path}.{key}");
                match (&schema["properties"][key], &schema["additionalProperties"]) {
                    (Value::Null, more) if more.is_object() => check(root, more, value, &path),
                    (Value::Null, _) => Err(format!("{path}: is not known")),
                    (known, _) => check(root, known, value, &path),
                }
            })
        }),
        Some(_) => wrong("has another type"),
    }
}
