//! A string that must not reach a log.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A secret string (a password hash, a private key, a token). `Debug` prints `Secret(…)`, there is no `Display`, and
/// the memory is wiped on drop. Serialising writes the value itself: it is how a secret crosses the wire, inside
/// documents that are only ever sent over TLS. Nothing that is logged contains a `Secret` by value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Every call is a place where it could leak; look twice.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
