//! Finding a library as ld.so(8) does: the object's own folders, `/etc/ld.so.conf`, the built-in folders. There is no
//! `ld.so.cache` in the initrd, so what only `ld.so.conf` leads to gets a link in a built-in folder.

use anyhow::Result;
use elf::abi::{EM_AARCH64, EM_X86_64};
use elf::file::Class;

use super::object::{Machine, Object};
use super::root::Root;
use crate::pattern;
use crate::tree::placed;

/// The folders of one root.
#[derive(Debug)]
pub struct Search {
    configured: Vec<String>,
}

impl Search {
    /// Reads `/etc/ld.so.conf` of `root`; without one there are the built-in folders only.
    pub fn new(root: &Root) -> Result<Self> {
        let mut configured = Vec::new();
        read_config(root, "/etc/ld.so.conf", 0, &mut configured)?;
        Ok(Self { configured })
    }

    /// The path inside `root` of library `name` for `machine`; `own` are the folders that the object which needs it
    /// adds.
    pub fn find(&self, root: &Root, name: &str, machine: Machine, own: &[String]) -> Result<Option<String>> {
        if name.contains('/') {
            return Ok(root.is_file(name).then(|| name.to_owned()));
        }
        let built_in = built_in(machine);
        for dir in own.iter().chain(&self.configured).chain(&built_in) {
            let path = format!("{dir}/{name}");
            if !root.is_file(&path) {
                continue;
            }
            let file = root.resolve(&path)?.file;
            let data = std::fs::read(root.host(&file))?;
            // Linker scripts and libraries for other machines are passed over, as ld.so does.
            if Object::parse(&data).ok().flatten().is_some_and(|object| object.machine == machine) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// The built-in folder that must get a link to `found` for ld.so to find it in the initrd; none if it does anyway.
    pub fn unreachable(
        &self,
        root: &Root,
        found: &str,
        own: &[String],
        machine: Machine,
    ) -> Result<Option<String>> {
        let Some((dir, _)) = found.rsplit_once('/') else { return Ok(None) };
        let built_in = built_in(machine);
        let same = |other: &String| placed(other).ok() == placed(dir).ok();
        if own.iter().any(same) || built_in.iter().any(same) {
            return Ok(None);
        }
        // The folder of the C library is one that this root's loader knows.
        match self.find(root, "libc.so.6", machine, &[])? {
            Some(libc) => Ok(libc.rsplit_once('/').map(|(home, _)| home.to_owned())),
            None => Ok(Some("/lib".into())),
        }
    }
}

/// The folders that the loaders of Debian (multiarch), the RHEL family and musl are built with.
fn built_in(machine: Machine) -> Vec<String> {
    let triple = match machine.code {
        EM_X86_64 => Some("x86_64-linux-gnu"),
        EM_AARCH64 => Some("aarch64-linux-gnu"),
        _ => None,
    };
    let multiarch = triple.iter().flat_map(|triple| [format!("/lib/{triple}"), format!("/usr/lib/{triple}")]);
    let wide: &[&str] = if machine.class == Class::ELF64 { &["/lib64", "/usr/lib64"] } else { &[] };
    multiarch.chain(wide.iter().chain(&["/lib", "/usr/lib"]).map(|dir| (*dir).to_owned())).collect()
}

/// `ld.so.conf`: a folder a line, `#` comments, `include PATTERN`.
fn read_config(root: &Root, path: &str, depth: usize, dirs: &mut Vec<String>) -> Result<()> {
    if depth > 8 || !root.is_file(path) {
        return Ok(());
    }
    let text = std::fs::read_to_string(root.host(&root.resolve(path)?.file))?;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.strip_prefix("include") {
            Some(glob) => {
                for file in included(root, glob.trim()) {
                    read_config(root, &file, depth + 1, dirs)?;
                }
            }
            None if line.starts_with('/') => dirs.push(line.trim_end_matches('/').to_owned()),
            None => {}
        }
    }
    Ok(())
}

/// The files that an include line names, sorted; patterns are understood in the last part of the path.
fn included(root: &Root, glob: &str) -> Vec<String> {
    let glob = if glob.starts_with('/') { glob.to_owned() } else { format!("/etc/{glob}") };
    let Some((dir, last)) = glob.rsplit_once('/') else { return Vec::new() };
    let Ok(found) = root.resolve(dir) else { return Vec::new() };
    let entries = std::fs::read_dir(root.host(&found.file)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<String> =
        names.filter(|name| pattern::matches(last, name)).map(|name| format!("{dir}/{name}")).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_with_includes() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc/ld.so.conf.d");
        std::fs::create_dir_all(&etc).unwrap();
        let text = "include ld.so.conf.d/*.conf\n/last/ # here\ninclude /etc/ld.so.conf\n";
        std::fs::write(dir.path().join("etc/ld.so.conf"), text).unwrap();
        std::fs::write(etc.join("b.conf"), "/b\n").unwrap();
        std::fs::write(etc.join("a.conf"), "# none\n/a\n").unwrap();
        std::fs::write(etc.join("c.off"), "/c\n").unwrap();
        let search = Search::new(&Root::new(dir.path().into())).unwrap();
        assert_eq!(search.configured[..3], ["/a", "/b", "/last"]);
        assert!(!search.configured.contains(&"/c".into()));
    }
}
