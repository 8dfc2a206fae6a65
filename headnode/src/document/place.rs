//! Where in a TOML text a path such as `storage.disks[0].partitions[1].label` is.

use nii::Finding;
use toml_edit::{Document, Item, Value};

use super::Source;

/// One reason, with the file's name, and line and column (from 1) where there is a place.
pub(super) fn line(source: Source<'_>, offset: Option<usize>, message: &str) -> String {
    let Some(before) = offset.and_then(|offset| source.text.get(..offset)) else {
        return format!("{}: {message}", source.name);
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}: {message}", source.name)
}

/// A finding, with the place that its path has in the text, or else the nearest one above it.
pub(super) fn finding(source: Source<'_>, finding: &Finding) -> String {
    let offset =
        Document::parse(source.text).ok().and_then(|document| find(document.as_item(), &finding.path));
    let message = match finding.path.as_str() {
        "" => finding.message.clone(),
        path => format!("{path}: {}", finding.message),
    };
    line(source, offset, &message)
}

/// Goes down the path as far as the text does.
fn find(root: &Item, path: &str) -> Option<usize> {
    let mut offset = None;
    let mut here = Place::Item(root);
    for part in path.split(['.', '[']) {
        let found = match part.strip_suffix(']') {
            Some(index) => here.element(index.parse().ok()?),
            None => here.member(part),
        };
        let Some((at, next)) = found else { break };
        offset = at.or(offset);
        here = next;
    }
    offset
}

/// TOML has two kinds of everything: the ones with headers and the ones in braces.
#[derive(Clone, Copy)]
enum Place<'a> {
    Item(&'a Item),
    Table(&'a toml_edit::Table),
    Value(&'a Value),
}

impl<'a> Place<'a> {
    /// A table's member, and where its key is.
    fn member(self, name: &str) -> Option<(Option<usize>, Self)> {
        let table: &'a dyn toml_edit::TableLike = match self {
            Self::Item(item) => item.as_table_like()?,
            Self::Table(table) => table,
            Self::Value(value) => value.as_inline_table()?,
        };
        let (key, item) = table.get_key_value(name)?;
        // A table with a header is found by the header; tables that only dotted keys made have none.
        let header = item.as_table().and_then(toml_edit::Table::span);
        Some((header.or_else(|| key.span()).map(|span| span.start), Self::Item(item)))
    }

    /// An array's element, and where it is.
    fn element(self, index: usize) -> Option<(Option<usize>, Self)> {
        if let Self::Item(Item::ArrayOfTables(tables)) = self {
            let table = tables.get(index)?;
            return Some((table.span().map(|span| span.start), Self::Table(table)));
        }
        let array = match self {
            Self::Item(item) => item.as_array()?,
            Self::Value(value) => value.as_array()?,
            Self::Table(_) => return None,
        };
        let value = array.get(index)?;
        Some((value.span().map(|span| span.start), Self::Value(value)))
    }
}
