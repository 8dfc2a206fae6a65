//! What validation has to say about a document.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a look; the document is obeyed.
    Warning,
    /// The document is refused.
    Error,
}

/// One thing that is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// JSON path of the field, as in `storage.disks[0].partitions[2].size_mib`; empty for the whole document.
    pub path: String,
    /// What is wrong and what to do, for a person.
    pub message: String,
}

impl Finding {
    /// An error at `path`.
    pub fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, path.into(), message.into())
    }

    /// A warning at `path`.
    pub fn warning(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, path.into(), message.into())
    }

    /// Both may hold text of the document, and must not move a console's cursor or begin a line of a log.
    fn new(severity: Severity, path: String, message: String) -> Self {
        Self { severity, path: visible(path), message: visible(message) }
    }

    /// Whether the document must be refused for this.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

fn visible(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        match self.path.as_str() {
            "" => write!(f, "{word}: {}", self.message),
            path => write!(f, "{word}: {path}: {}", self.message),
        }
    }
}
