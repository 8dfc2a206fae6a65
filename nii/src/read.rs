//! Reading an NII from its bytes: parse errors with their path, unknown fields, then validation.

use serde_json::Value;
use thiserror::Error;

use crate::finding::Finding;
use crate::v1::{Nii, VERSION};

/// What an unknown field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// An error: `headnode` refuses it when it loads a document.
    Strict,
    /// A warning: a node obeys what it understands.
    Lenient,
}

/// Why bytes are no NII at all, or one that must not be obeyed.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Not JSON, or a field of the wrong type.
    #[error("the NII cannot be read at `{path}`: {message}")]
    Syntax {
        /// JSON path of the place, `.` for the document itself.
        path: String,
        /// What was expected there.
        message: String,
    },
    /// A version that this program does not know.
    #[error(
        "the NII has version {found}, and this program reads version {VERSION}: rebuild the initrd from the head node's release"
    )]
    Version {
        /// The version found.
        found: u64,
    },
    /// Validation found errors; all findings are here, warnings too.
    #[error("the NII is refused: {}", list(.0))]
    Refused(Vec<Finding>),
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads and validates an NII. Returns it with its warnings.
///
/// # Errors
/// [`ReadError`]; `Refused` carries every finding, not only the first.
pub fn read(bytes: &[u8], strictness: Strictness) -> Result<(Nii, Vec<Finding>), ReadError> {
    let document = check_version(bytes)?;
    let mut unknown = Vec::new();
    let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
    let parsed: Result<Nii, _> =
        serde_ignored::deserialize(tracked, |path| unknown.push(json_path(&path, &document).0));
    let nii = parsed.map_err(|error: serde_json::Error| ReadError::Syntax {
        path: track.path().to_string(),
        message: without_position(&error),
    })?;
    let message = "this field is not known; check its spelling in docs/nii.md";
    let mut findings: Vec<Finding> = unknown
        .into_iter()
        .map(|path| match strictness {
            Strictness::Strict => Finding::error(path, message),
            Strictness::Lenient => Finding::warning(path, message),
        })
        .collect();
    findings.extend(nii.validate());
    if findings.iter().any(Finding::is_error) {
        Err(ReadError::Refused(findings))
    } else {
        Ok((nii, findings))
    }
}

/// The version is looked at before anything else: a newer document may have any shape.
fn check_version(bytes: &[u8]) -> Result<Value, ReadError> {
    let syntax = |message: String| ReadError::Syntax { path: ".".into(), message };
    let document: Value = serde_json::from_slice(bytes).map_err(|error| syntax(error.to_string()))?;
    match document["version"].as_u64() {
        Some(version) if version == u64::from(VERSION) => Ok(document),
        Some(found) => Err(ReadError::Version { found }),
        None => Err(syntax("has no `version`".into())),
    }
}

/// Where in `document` serde_ignored was, and what is there. It writes `a.0.b`, findings write `a[0].b`; and it does not
/// tell the variant of an enum, which in JSON is the only key of its object.
fn json_path<'v>(path: &serde_ignored::Path<'_>, document: &'v Value) -> (String, &'v Value) {
    use serde_ignored::Path;
    let below = |(parent, value): (String, &'v Value), key: &str| {
        let path = if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") };
        (path, &value[key])
    };
    match path {
        Path::Root => (String::new(), document),
        Path::Seq { parent, index } => {
            let (parent, value) = json_path(parent, document);
            (format!("{parent}[{index}]"), &value[*index])
        }
        Path::Map { parent, key } => below(json_path(parent, document), key),
        Path::NewtypeVariant { parent } => {
            let (parent, value) = json_path(parent, document);
            match value.as_object().and_then(|variant| variant.keys().next()) {
                Some(variant) => below((parent, value), variant),
                None => (parent, value),
            }
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } => json_path(parent, document),
    }
}

/// The path says where; serde_json's own "at line 1 column 312" of a compact document says nothing.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) if error.is_data() => text[..end].to_owned(),
        _ => text,
    }
}
