//! Every finding about the storage section, each with a document that has it: docs/findings.md is their list. After a
//! change of a rule: `CAMPHOR_WRITE_DOCS=1 cargo test -p nii --test findings`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "test support")]

mod cases;

use std::fmt::Write as _;
use std::path::Path;

use nii::{Finding, ReadError, Strictness, read};
use serde_json::Value;

use cases::{OF_PACKAGE, OF_STACKED};

const STACKED: &str = include_str!("../../fixtures/v1/stacked.json");
const PACKAGE: &str = include_str!("../../fixtures/v1/package.json");

/// Where the rules are.
const RULES: [&str; 9] = [
    include_str!("../../src/v1/validate/arrays.rs"),
    include_str!("../../src/v1/validate/booting.rs"),
    include_str!("../../src/v1/validate/disks.rs"),
    include_str!("../../src/v1/validate/filesystems.rs"),
    include_str!("../../src/v1/validate/luks.rs"),
    include_str!("../../src/v1/validate/lvm.rs"),
    include_str!("../../src/v1/validate/mounts.rs"),
    include_str!("../../src/v1/validate/preserve.rs"),
    include_str!("../../src/v1/validate/stack.rs"),
];

#[test]
fn each_rule_has_a_document_and_the_list_has_them_all() {
    let (mut messages, mut wrong) = (Vec::new(), Vec::new());
    let mut list = String::from(HEAD);
    for (fixture, text, cases) in
        [("stacked.json", STACKED, OF_STACKED), ("package.json", PACKAGE, OF_PACKAGE)]
    {
        writeln!(
            list,
            "\n## Changes of `nii/fixtures/v1/{fixture}`\n\n| path | finding | example |\n| --- | --- | --- |"
        )
        .unwrap();
        for (path, changes) in cases {
            let findings = findings(text, changes);
            let [finding] = &findings[..] else {
                wrong.push(format!("{path} by {changes:?}: {findings:#?}"));
                continue;
            };
            if finding.path != *path {
                wrong.push(format!("{path} by {changes:?}: {finding}"));
            }
            let example: Vec<String> = changes.iter().map(|change| format!("`{change}`")).collect();
            let cell = |text: &str| text.replace('|', "\\|");
            let word = if finding.is_error() { "" } else { "warning: " };
            writeln!(list, "| `{path}` | {word}{} | {} |", cell(&finding.message), cell(&example.join(", ")))
                .unwrap();
            messages.push(finding.message.clone());
        }
    }
    assert!(wrong.is_empty(), "not one finding each, or elsewhere:\n{}", wrong.join("\n"));
    let rules = RULES.iter().flat_map(|source| literals(source));
    let untold: Vec<String> =
        rules.filter(|rule| !messages.iter().any(|message| is_of(message, rule))).collect();
    assert_eq!(untold, Vec::<String>::new(), "these rules have no document here");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/findings.md");
    if std::env::var_os("CAMPHOR_WRITE_DOCS").is_some() {
        std::fs::write(&page, &list).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    let differs = list.lines().zip(written.lines()).find(|(said, written)| said != written);
    assert!(list == written, "docs/findings.md is old, first at {differs:?}: see the head of this test");
}

const HEAD: &str = "# Findings about storage

What validation says of a `storage` section that cannot work or would do harm, before any machine is looked at; all of it is said at
once. Each finding here is that of a document: one of the examples, with the changes of the last column (`-` appends, `null` removes).
What only the node can tell (disks that are missing or too small, an ESP that no file system is on, names that are taken on other disks) comes
with its plan.
";

/// Those of the changed document.
fn findings(text: &str, changes: &[&str]) -> Vec<Finding> {
    let mut document: Value = serde_json::from_str(text).unwrap();
    changes.iter().for_each(|change| apply(&mut document, change));
    // What is taken out of a list would move what is behind it, so it stays until now.
    remove_nulls(&mut document);
    match read(document.to_string().as_bytes(), Strictness::Strict) {
        Ok((_, findings)) | Err(ReadError::Refused(findings)) => findings,
        Err(error) => panic!("{changes:?}: {error}"),
    }
}

fn apply(document: &mut Value, change: &str) {
    let (pointer, value) = change.split_once(" = ").unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let value = serde_json::from_str(value).unwrap();
    match document.pointer_mut(parent).unwrap_or_else(|| panic!("{change}")) {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        parent => parent[key] = value,
    }
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(remove_nulls);
        }
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(remove_nulls);
        }
        _ => {}
    }
}

/// The texts of a source, as they are between the quotes, that are sentences or parts of some.
fn literals(source: &str) -> Vec<String> {
    let code =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    let mut rest = code.as_str();
    while let Some((_, after)) = rest.split_once('"') {
        let mut end = 0;
        while !after[end..].starts_with('"') {
            end += if after[end..].starts_with('\\') {
                2
            } else {
                after[end..].chars().next().unwrap().len_utf8()
            };
        }
        found.push(unescape(&after[..end]));
        rest = &after[end + 1..];
    }
    found.retain(|text| text.contains(' '));
    found
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        rest = match after.strip_prefix('\n') {
            Some(next) => next.trim_start(),
            None => {
                out.push_str(&after[..1]);
                &after[1..]
            }
        };
    }
    out + rest
}

/// Whether the message has all parts of the rule's text that are not filled in, in their order.
fn is_of(message: &str, rule: &str) -> bool {
    let mut rest = message;
    rule.split(['{', '}']).step_by(2).all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}
