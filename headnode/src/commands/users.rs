//! Who uses what is to be removed or changed.

use anyhow::Result;

use super::Context;
use crate::document::{self, Document, Source};

impl Context {
    /// A group, or a node with its overrides, whose document is such: `the group compute`.
    ///
    /// # Errors
    /// When the store, or a document in it, cannot be read.
    pub(super) async fn user_of(&self, such: impl Fn(&Document) -> bool) -> Result<Option<String>> {
        let groups = self.store.groups().await?;
        for group in &groups {
            let about = format!("the group {}", group.name);
            if such(&Source { name: &about, text: &group.document }.read()?) {
                return Ok(Some(about));
            }
        }
        for node in self.store.nodes().await?.into_iter().filter(|node| !node.overrides.is_empty()) {
            let group = groups.iter().find(|group| group.name == node.group);
            let text = document::merge(group.map_or("", |group| &group.document), &node.overrides)?;
            let about = format!("the node {}", node.name);
            if such(&Source { name: &about, text: &text }.read()?) {
                return Ok(Some(about));
            }
        }
        Ok(None)
    }
}
