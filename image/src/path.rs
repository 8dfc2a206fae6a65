//! Which paths of an archive are allowed: below the root, and said without detours.

use thiserror::Error;

/// Deepest directory that is accepted. The extractor keeps a handle for each level of the directory it writes in;
/// this many fit below the usual limit of 1024 open files.
pub const DEPTH_MAX: usize = 400;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// It starts at the root of the machine.
    #[error("is absolute")]
    Absolute,
    /// It has a `..`.
    #[error("has a '..'")]
    DotDot,
    /// It has a NUL.
    #[error("has a NUL byte")]
    Nul,
    /// It is deeper than [`DEPTH_MAX`].
    #[error("is nested deeper than {DEPTH_MAX} directories")]
    Deep,
}

/// The path without `.`, doubled or trailing slashes: components joined by `/`, empty for the root itself.
///
/// # Errors
/// See [`PathError`].
pub fn normal(path: &[u8]) -> Result<Vec<u8>, PathError> {
    if path.first() == Some(&b'/') {
        return Err(PathError::Absolute);
    }
    if path.contains(&0) {
        return Err(PathError::Nul);
    }
    let mut normal = Vec::with_capacity(path.len());
    let mut depth = 0;
    for part in path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        if part == b".." {
            return Err(PathError::DotDot);
        }
        depth += 1;
        if depth > DEPTH_MAX {
            return Err(PathError::Deep);
        }
        if !normal.is_empty() {
            normal.push(b'/');
        }
        normal.extend_from_slice(part);
    }
    Ok(normal)
}

/// Splits a normal path into its directory (empty for the root) and its last component (empty for the root itself).
#[must_use]
pub fn split(normal: &[u8]) -> (&[u8], &[u8]) {
    match normal.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&normal[..slash], &normal[slash + 1..]),
        None => (&[], normal),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        for (path, wanted) in [
            (&b"a/b"[..], Ok(&b"a/b"[..])),
            (b"./a//b/./c/", Ok(b"a/b/c")),
            (b"./", Ok(b"")),
            (b"", Ok(b"")),
            (b"...", Ok(b"...")),
            (b"/a", Err(PathError::Absolute)),
            (b"a/../b", Err(PathError::DotDot)),
            (b"..", Err(PathError::DotDot)),
            (b"a\0b", Err(PathError::Nul)),
        ] {
            assert_eq!(normal(path), wanted.map(<[u8]>::to_vec), "{}", path.escape_ascii());
        }
        assert_eq!(normal(&b"a/".repeat(DEPTH_MAX + 1)), Err(PathError::Deep));
        assert_eq!(
            (split(b"a/b/c"), split(b"a"), split(b"")),
            ((&b"a/b"[..], &b"c"[..]), (&b""[..], &b"a"[..]), (&b""[..], &b""[..]))
        );
    }

    proptest! {
        /// A normal path is its own normal form, and never leads up or away.
        #[test]
        fn normal_is_normal(path in "[a./\u{0}]{0,20}") {
            if let Ok(path) = normal(path.as_bytes()) {
                prop_assert_eq!(normal(&path), Ok(path.clone()));
                prop_assert!(path.split(|&byte| byte == b'/').all(|part| part != b".." && part != b"."));
                prop_assert!(!path.starts_with(b"/"));
            }
        }
    }
}
