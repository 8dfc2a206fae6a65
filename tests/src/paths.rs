//! Where things lie: the workspace, the built programs, the logs of the scenarios.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The workspace's root folder.
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The folder of the static programs that `cargo xtask build` leaves.
pub fn dist() -> PathBuf {
    target().join("dist")
}

/// The static program `name` as `cargo xtask build` left it.
///
/// # Errors
/// When it has not been built yet.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = dist().join(name);
    ensure!(path.exists(), "{} is missing: run `cargo xtask build` first", path.display());
    Ok(path)
}

/// The folder that keeps a scenario's logs.
pub fn logs(scenario: &str) -> PathBuf {
    target().join("e2e").join(scenario)
}
