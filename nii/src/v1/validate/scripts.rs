//! `scripts`, and files of the head node.

use std::collections::BTreeSet;

use super::Out;
use super::words::{is_name, is_path, is_program, url_fault};
use crate::Finding;
use crate::v1::Nii;

pub(super) fn scripts(nii: &Nii, out: Out<'_>) {
    let mut names = BTreeSet::new();
    for (i, script) in nii.scripts.iter().enumerate() {
        let path = format!("scripts[{i}]");
        if !is_name(&script.name) {
            let message =
                "must be letters, digits, `-`, `_` and `.`, 1 to 64 of them: it becomes a file name";
            out.push(Finding::error(format!("{path}.name"), message));
        }
        if !names.insert(&script.name) {
            let message = format!("another script is named `{}`", script.name);
            out.push(Finding::error(format!("{path}.name"), message));
        }
        remote(&script.url, &format!("{path}.url"), out);
        if script.interpreter.as_deref().is_some_and(|interpreter| !is_program(interpreter)) {
            let message = "must be an absolute path or a plain name, without arguments";
            out.push(Finding::error(format!("{path}.interpreter"), message));
        }
    }
}

/// A path on the head node, or a URL.
pub(super) fn remote(url: &str, path: &str, out: Out<'_>) {
    if url.starts_with('/') {
        if !is_path(url) || url.contains(['?', '&']) {
            let message = format!("`{}` is no path on the head node", url);
            out.push(Finding::error(path, message));
        }
    } else if let Some(fault) = url_fault(url, &["http", "https"]) {
        out.push(Finding::error(path, fault));
    }
}
