//! Changing a document's text and leaving the rest of it, comments too, as it was.

use anyhow::{Context as _, Result, bail, ensure};
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

/// What `group show` prints in place of a secret.
pub const HIDDEN: &str = "(hidden)";

fn parse(text: &str) -> Result<DocumentMut> {
    text.parse().context("reading the document as TOML")
}

/// Sets the key at a dotted path. The value is TOML, or else a string.
///
/// # Errors
/// When the path runs through something that is no table.
pub fn set(text: &str, path: &str, value: &str) -> Result<String> {
    let mut document = parse(text)?;
    let mut value = value.parse::<Value>().unwrap_or_else(|_| Value::from(value));
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    ensure!(path.split('.').all(|part| !part.is_empty()), "`{path}` is no dotted path of a key");
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        let item = table.entry(parent).or_insert_with(implicit_table);
        table = item.as_table_like_mut().with_context(|| format!("`{parent}` of `{path}` is no table"))?;
    }
    match table.get_mut(key) {
        Some(item) => {
            if let Some(old) = item.as_value() {
                value.decor_mut().clone_from(old.decor());
            }
            *item = Item::Value(value);
        }
        None => drop(table.insert(key, Item::Value(value))),
    }
    Ok(document.to_string())
}

/// A table that gets no header of its own unless it has keys of its own.
fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

/// Removes the key at a dotted path.
///
/// # Errors
/// When there is none.
pub fn unset(text: &str, path: &str) -> Result<String> {
    let mut document = parse(text)?;
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut table: Option<&mut dyn TableLike> = Some(document.as_table_mut());
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        table = table.and_then(|table| table.get_mut(parent)).and_then(Item::as_table_like_mut);
    }
    let Some(_) = table.and_then(|table| table.remove(key)) else { bail!("`{path}` is not set") };
    Ok(document.to_string())
}

/// `over` merged over `base`: tables key by key, everything else as a whole.
///
/// # Errors
/// When one of them is no TOML.
pub fn merge(base: &str, over: &str) -> Result<String> {
    let mut document = parse(base)?;
    merge_tables(document.as_table_mut(), parse(over)?.as_table());
    Ok(document.to_string())
}

fn merge_tables(base: &mut dyn TableLike, over: &dyn TableLike) {
    for (key, item) in over.iter() {
        let below = base.get_mut(key).and_then(Item::as_table_like_mut);
        match (below, item.as_table_like()) {
            (Some(below), Some(over)) => merge_tables(below, over),
            _ => drop(base.insert(key, item.clone())),
        }
    }
}

/// The text with its secrets replaced.
///
/// # Errors
/// When it is no TOML.
pub fn hide_secrets(text: &str) -> Result<String> {
    let mut document = parse(text)?;
    if let Some(root) = document.get_mut("root").and_then(Item::as_table_like_mut) {
        hide(root);
    }
    match document.get_mut("luks_keys") {
        Some(keys) if keys.is_table_like() => {
            let keys = keys.as_table_like_mut().into_iter().flat_map(TableLike::iter_mut);
            keys.for_each(|(_, key)| *key = Item::Value(HIDDEN.into()));
        }
        Some(keys) => *keys = Item::Value(HIDDEN.into()),
        None => {}
    }
    let users = document.get_mut("package").and_then(|package| package.get_mut("users"));
    match users {
        Some(Item::ArrayOfTables(users)) => users.iter_mut().for_each(|user| hide(user)),
        Some(Item::Value(Value::Array(users))) => {
            users.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|user| hide(user));
        }
        _ => {}
    }
    Ok(document.to_string())
}

fn hide(account: &mut dyn TableLike) {
    if let Some(hash) = account.get_mut("password_hash") {
        *hash = Item::Value(HIDDEN.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# mine\nnetboot = \"a\" # why\n\n[root]\npassword_hash = \"$6$x\"\n";

    #[test]
    fn set_keeps_comments_and_takes_toml_or_strings() {
        let text = set(TEXT, "netboot", "deb13").unwrap();
        assert!(text.starts_with("# mine\nnetboot = \"deb13\" # why\n"), "{text}");
        let text = set(&text, "attempts", "3").unwrap();
        let text = set(&text, "storage.disks", "[{ name = \"a\" }]").unwrap();
        let text = set(&text, "install.type", "disked").unwrap();
        for line in ["attempts = 3\n", "disks = [{ name = \"a\" }]\n", "[install]\ntype = \"disked\"\n"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(set(&text, "netboot.x", "1").is_err() && set(&text, "a..b", "1").is_err());
    }

    #[test]
    fn unset_removes_what_is_there() {
        assert!(!unset(TEXT, "root.password_hash").unwrap().contains("password_hash"));
        assert!(unset(TEXT, "root.nothing").is_err() && unset(TEXT, "netboot.x").is_err());
    }

    #[test]
    fn merge_goes_table_by_table() {
        let merged =
            merge(TEXT, "root.ssh_host_keys = \"generate\"\nnetboot_args = [\"a\"]\nnetboot = \"b\"")
                .unwrap();
        let table: DocumentMut = merged.parse().unwrap();
        assert_eq!(table["netboot"].as_str(), Some("b"));
        assert_eq!(table["root"]["password_hash"].as_str(), Some("$6$x"));
        assert_eq!(table["root"]["ssh_host_keys"].as_str(), Some("generate"));
        assert_eq!(table["netboot_args"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn secrets_are_hidden() {
        let shown = hide_secrets(TEXT).unwrap();
        assert!(!shown.contains("$6$") && shown.contains("\"(hidden)\""), "{shown}");
        assert_eq!(hide_secrets("a = 1\n").unwrap(), "a = 1\n");
        for text in [
            "[package]\nusers = [{ name = \"a\" }, { name = \"b\", password_hash = \"$6$x\" }]\n",
            "[[package.users]]\nname = \"a\"\n\n[[package.users]]\npassword_hash = \"$6$x\"\nname = \"b\"\n",
            "[root]\npassword_hash = { x = \"$6$x\" }\n",
            "[luks_keys]\ndata = \"$6$x\"\n",
            "luks_keys.data = \"$6$x\"\n",
            "luks_keys = { data = \"$6$x\", work = { x = \"$6$x\" } }\n",
            "[luks_keys.data]\nx = \"$6$x\"\n",
            "luks_keys = [\"$6$x\"]\n",
            "[[luks_keys]]\nx = \"$6$x\"\n",
        ] {
            let shown = hide_secrets(text).unwrap();
            assert!(!shown.contains("$6$") && shown.contains("\"(hidden)\""), "{shown}");
        }
    }
}
