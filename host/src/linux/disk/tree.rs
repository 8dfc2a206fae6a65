//! For tests: a /sys and a /proc of one's own.

use std::fs;
use std::path::Path;

/// Writes files below a folder; the parents come by themselves.
pub fn tree(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}
