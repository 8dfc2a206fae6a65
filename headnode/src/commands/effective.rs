//! `show --effective`: every value, and where it comes from.

use anyhow::Result;
use serde_json::{Value, json};

use super::Context;
use crate::document::{Effective, Layer};
use crate::output::List;

/// Prints the values of a document. `own` are values that no document has, with what they come from.
pub(super) fn print(
    context: &Context,
    values: &[Effective],
    group: &str,
    own: &[(&str, Value, String)],
) -> Result<()> {
    let mut list = List::new(&["key", "value", "from"]);
    let mut push = |key: &str, value: &Value, from: String| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        list.push(
            vec![key.to_owned(), text, from.clone()],
            json!({"key": key, "value": value, "from": from}),
        );
    };
    for (key, value, from) in own {
        push(key, value, from.clone());
    }
    for Effective { key, value, layer } in values {
        let from = match layer {
            Layer::Default => "default".to_owned(),
            Layer::Os(os) => format!("os {os}"),
            Layer::Group => format!("group {group}"),
            Layer::Node => "node".to_owned(),
        };
        push(key, value, from);
    }
    list.print(context.output)
}
