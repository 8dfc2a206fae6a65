//! Every value of a node's document, and which layer it comes from.

use anyhow::Result;
use serde_json::Value;

use super::{Defaults, Source, hide_secrets, merge};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Nobody said anything.
    Default,
    /// The os of this name.
    Os(String),
    /// The group's document.
    Group,
    /// The node's overrides.
    Node,
}

/// A value with its dotted path.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// As `KEY=VALUE` has it.
    pub key: String,
    /// The value; secrets are hidden.
    pub value: Value,
    /// Where from.
    pub layer: Layer,
}

/// All values of a group's document with a node's overrides, in the order of their keys. `defaults` says what an os of
/// that name gives.
///
/// # Errors
/// When a text is no document.
pub fn effective(
    group: &str,
    overrides: &str,
    defaults: impl Fn(&str) -> Option<Defaults>,
) -> Result<Vec<Effective>> {
    let (group, overrides) = (hide_secrets(group)?, hide_secrets(overrides)?);
    let merged = merge(&group, &overrides)?;
    let mut document = Source { name: "the document", text: &merged }.read()?;
    let os = document.os.clone().unwrap_or_default();
    let filled = defaults(&os).map(|defaults| document.fill(defaults)).unwrap_or_default();
    let below = |key: &str, of: &str| {
        key.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let layers = [
        (Layer::Node, toml_edit::de::from_str::<Value>(&overrides)?),
        (Layer::Group, toml_edit::de::from_str::<Value>(&group)?),
    ];
    let mut out = Vec::new();
    flatten(String::new(), serde_json::to_value(document)?, &mut |key, value| {
        let layer = match layers.iter().find(|(_, layer)| has(layer, &key)) {
            Some((layer, _)) => layer.clone(),
            None if filled.iter().any(|of| below(&key, of)) => Layer::Os(os.clone()),
            None => Layer::Default,
        };
        out.push(Effective { key, value, layer });
    });
    Ok(out)
}

/// Tables are merged key by key, so their values have layers of their own; lists are taken as a whole.
fn flatten(key: String, value: Value, out: &mut impl FnMut(String, Value)) {
    match value {
        Value::Null => {}
        Value::Object(table) if !table.is_empty() || key.is_empty() => {
            for (name, value) in table {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(key, value, out);
            }
        }
        value => out(key, value),
    }
}

fn has(layer: &Value, key: &str) -> bool {
    let mut value = layer;
    key.split('.').all(|part| match value.get(part) {
        Some(found) => {
            value = found;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_layer() {
        let group = "netboot = \"a\"\nattempts = 3\n[install]\ntype = \"diskless\"\n[root]\npassword_hash = \"$6$x\"\n\
                     [luks_keys]\ndata = \"opensesame\"\n\
                     [attributes]\nrack = \"1\"\n";
        let all = effective(group, "attempts = 4\nattributes.bmc = \"10.0.0.1\"\n", |_| None).unwrap();
        let one = |key: &str| {
            let found =
                all.iter().find(|value| value.key == key).unwrap_or_else(|| panic!("{key} in {all:?}"));
            (found.value.clone(), found.layer.clone())
        };
        assert_eq!(one("netboot"), ("a".into(), Layer::Group));
        assert_eq!(one("attempts"), (4.into(), Layer::Node));
        assert_eq!(one("install.after"), ("reboot".into(), Layer::Default));
        assert_eq!(one("locale.timezone"), ("UTC".into(), Layer::Default));
        assert_eq!(one("root.password_hash"), ("(hidden)".into(), Layer::Group));
        assert_eq!(one("luks_keys.data"), ("(hidden)".into(), Layer::Group));
        assert_eq!(one("attributes.rack"), ("1".into(), Layer::Group));
        assert_eq!(one("attributes.bmc"), ("10.0.0.1".into(), Layer::Node));
        assert!(all.iter().all(|value| value.key != "image.name"));
    }
}
