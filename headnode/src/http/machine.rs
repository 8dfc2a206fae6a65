//! Whether the machine that asks is the one that its node is bound to.

use anyhow::Result;
use uuid::Uuid;

use super::App;
use crate::addresses::swapped;
use crate::store::nodes::Node;

/// What to tell a machine that says it has this id and is not `node`'s: why, and not which one is, which the security notice
/// has. `None` if it is, or if any is.
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
    let detail = format!(
        "{name} is the machine {own}, and this one {is} (if it took its place: headnode node set {name} --machine {id})"
    );
    app.store.refusal(name, peer, "foreign-machine", &detail).await?;
    crate::log::line(format_args!("{name}: refused to {peer}: {detail}"));
    Ok(Some(format!("this machine is not the one that is {name} (headnode events {name})")))
}
