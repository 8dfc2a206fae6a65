//! Whether the machine that asks is the one that its node is bound to.

use anyhow::Result;
use uuid::Uuid;

use super::App;
use crate::addresses::swapped;
use crate::store::nodes::Node;

/// Why the machine that says it has this id is not `node`'s, which is a security notice, too; `None` if it is, or if any is.
///
/// # Errors
/// When the notice cannot be written.
pub(super) async fn refusal(
    app: &App,
    node: &Node,
    shown: Option<Uuid>,
    peer: &str,
) -> Result<Option<String>> {
    let Some(own) = node.machine else { return Ok(None) };
    if shown.is_some_and(|id| id == own || swapped(id) == own) {
        return Ok(None);
    }
    let name = &node.name;
    let (is, id) = match shown {
        Some(id) => (format!("is {id}"), id.to_string()),
        None => ("says no id".to_owned(), "any".to_owned()),
    };
    let why = format!(
        "{name} is the machine {own}, and this one {is} (if it took its place: headnode node set {name} --machine {id})"
    );
    app.store.refusal(name, peer, "foreign-machine", &why).await?;
    crate::log::line(format_args!("{name}: refused to {peer}: {why}"));
    Ok(Some(why))
}
