//! The initrd's own resolver: /etc/resolv.conf, as resolv.conf(5) and musl read it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The file.
pub const PATH: &str = "/etc/resolv.conf";

/// Writes the resolver's configuration. musl asks at most three servers; the rest are left out.
///
/// # Errors
/// The file cannot be written.
pub fn set(path: &Path, servers: &[IpAddr], search: &[String]) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    fs::write(path, text(servers, search)).with_context(|| format!("writing {}", path.display()))
}

fn text(servers: &[IpAddr], search: &[String]) -> String {
    let search = (!search.is_empty()).then(|| format!("search {}\n", search.join(" ")));
    let servers = servers.iter().take(3).map(|server| format!("nameserver {server}\n"));
    search.into_iter().chain(servers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_three_servers_and_the_search_list() {
        let servers = ["10.0.0.1", "fd00::1", "10.0.0.2", "10.0.0.3"].map(|s| s.parse().unwrap());
        let search = ["cluster.local".to_owned(), "example.org".to_owned()];
        assert_eq!(
            text(&servers, &search),
            "search cluster.local example.org\nnameserver 10.0.0.1\nnameserver fd00::1\nnameserver 10.0.0.2\n"
        );
        assert_eq!(text(&[], &[]), "");
    }
}
