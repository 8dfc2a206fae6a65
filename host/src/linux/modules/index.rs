//! What depmod(8) wrote about a module tree: its text files, parsed. Nothing is loaded here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::Context;

/// The index of one `lib/modules/VERSION`.
#[derive(Debug, Default)]
pub struct Index {
    /// By name: the file, relative to the tree, and the names of the modules that must be there before it, in order.
    modules: HashMap<String, (String, Vec<String>)>,
    /// Patterns and the modules they stand for.
    aliases: Vec<(String, String)>,
    /// By name: what should be loaded before and after, if it can be.
    soft: BTreeMap<String, (Vec<String>, Vec<String>)>,
    builtin: HashSet<String>,
}

/// A module to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, with underscores.
    pub name: String,
    /// Its file, relative to the tree.
    pub file: String,
    /// Whether the load may fail without harm: a soft dependency.
    pub optional: bool,
}

impl Index {
    /// Reads the index of the tree `directory`. Files that are missing (but for modules.dep) are empty.
    ///
    /// # Errors
    /// When there is no modules.dep.
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        let dep = directory.join("modules.dep");
        let dep = fs::read_to_string(&dep).with_context(|| format!("reading {}", dep.display()))?;
        let text = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        Ok(Self::parse(&dep, &text("modules.alias"), &text("modules.softdep"), &text("modules.builtin")))
    }

    /// Parses the texts of the four files.
    pub fn parse(dep: &str, alias: &str, softdep: &str, builtin: &str) -> Self {
        let mut index = Self::default();
        for (file, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            // depmod lists the direct and indirect dependencies, the one to be loaded last first.
            let needs = needs.split_whitespace().rev().map(name_of).collect();
            index.modules.insert(name_of(file), (file.to_owned(), needs));
        }
        for line in alias.lines() {
            if let Some((pattern, module)) =
                line.strip_prefix("alias ").and_then(|rest| rest.rsplit_once(' '))
            {
                index.aliases.push((underscored(pattern), underscored(module)));
            }
        }
        for line in softdep.lines() {
            let mut words = line.split_whitespace();
            if let (Some("softdep"), Some(module)) = (words.next(), words.next()) {
                // A module may have several such lines; a name before any keyword counts as `pre:`.
                let (pre, post) = index.soft.entry(underscored(module)).or_default();
                let mut into = &mut *pre;
                for word in words {
                    match word {
                        "pre:" => into = pre,
                        "post:" => into = post,
                        name => into.push(underscored(name)),
                    }
                }
            }
        }
        index.builtin = builtin.lines().map(name_of).collect();
        index
    }

    /// The modules behind a name or a modalias; none if there are none. What is built in may have modules that
    /// do the same faster (`crc32`), as in modprobe.
    pub fn resolve(&self, name_or_alias: &str) -> Vec<String> {
        let name = underscored(name_or_alias);
        if self.modules.contains_key(&name) {
            return vec![name];
        }
        let mut found: Vec<String> = Vec::new();
        for (_, module) in self.aliases.iter().filter(|(pattern, _)| fits(pattern, &name)) {
            if !found.contains(module) {
                found.push(module.clone());
            }
        }
        found
    }

    /// Whether the kernel has it without a module.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&underscored(name))
    }

    /// What to load for the module `name`, in order, with dependencies and soft dependencies.
    pub fn closure(&self, name: &str) -> Vec<Wanted> {
        let mut out = Vec::new();
        self.collect(name, false, &mut HashSet::new(), &mut out);
        out
    }

    fn collect(&self, name: &str, optional: bool, seen: &mut HashSet<String>, out: &mut Vec<Wanted>) {
        let Some((file, needs)) = self.modules.get(name) else { return };
        if !seen.insert(name.to_owned()) {
            return;
        }
        let (pre, post) = self.soft.get(name).cloned().unwrap_or_default();
        for soft in pre.iter().flat_map(|soft| self.resolve(soft)) {
            self.collect(&soft, true, seen, out);
        }
        for need in needs {
            self.collect(need, optional, seen, out);
        }
        out.push(Wanted { name: name.to_owned(), file: file.clone(), optional });
        for soft in post.iter().flat_map(|soft| self.resolve(soft)) {
            self.collect(&soft, true, seen, out);
        }
    }
}

/// A module's name: of its file without the folder and `.ko`, `.ko.xz`, …
fn name_of(file: &str) -> String {
    let base = file.trim().rsplit('/').next().unwrap_or_default();
    underscored(base.split_once(".ko").map_or(base, |(name, _)| name))
}

/// In names and aliases `-` and `_` are one, except for ranges in brackets.
fn underscored(name: &str) -> String {
    let mut inside = false;
    let one = |character: char| {
        inside = (inside || character == '[') && character != ']';
        if character == '-' && !inside { '_' } else { character }
    };
    name.chars().map(one).collect()
}

/// fnmatch(3) as module aliases need it: `*`, `?`, `[abc]`, `[a-z]`.
fn fits(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes())
}

fn glob<'a>(mut pattern: &'a [u8], mut text: &'a [u8]) -> bool {
    // The last star, and where the text was then: one level of going back is enough for globs.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', rest)) = pattern.split_first() {
            star = Some((rest, text));
            pattern = rest;
            continue;
        }
        match (step(pattern, text), text.is_empty()) {
            (Some((p, t)), _) => (pattern, text) = (p, t),
            (None, true) => return pattern.is_empty(),
            (None, false) => match star {
                Some((rest, [_, tail @ ..])) => {
                    star = Some((rest, tail));
                    (pattern, text) = (rest, tail);
                }
                _ => return false,
            },
        }
    }
}

/// Matches one byte of `text`; what remains of both.
fn step<'a>(pattern: &'a [u8], text: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (&byte, tail) = text.split_first()?;
    let (&first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some((rest, tail)),
        b'[' => {
            let end = rest.iter().position(|b| *b == b']')?;
            let mut set = &rest[..end];
            let mut inside = false;
            while let Some((&low, more)) = set.split_first() {
                set = more;
                let high = match set {
                    [b'-', high, after @ ..] => {
                        set = after;
                        *high
                    }
                    _ => low,
                };
                inside |= (low..=high).contains(&byte);
            }
            inside.then_some((&rest[end + 1..], tail))
        }
        literal => (literal == byte).then_some((rest, tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko kernel/fs/mbcache.ko\n\
        kernel/fs/jbd2/jbd2.ko:\n\
        kernel/lib/crc16.ko:\n\
        kernel/fs/mbcache.ko:\n\
        kernel/crypto/crc32c_generic.ko:\n\
        kernel/drivers/net/virtio_net.ko.xz: kernel/net/core/failover.ko\n\
        kernel/net/core/failover.ko:\n\
        kernel/drivers/virtio/virtio-pci.ko:\n";
    const ALIAS: &str = "# Aliases extracted from modules themselves.\n\
        alias virtio:d00000001v* virtio_net\n\
        alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio-pci\n\
        alias crypto-crc32c crc32c_generic\n\
        alias crc32c crc32c_generic\n\
        alias acpi*:PNP0C0[A-C]:* battery\n";
    const SOFT: &str =
        "softdep ext4 pre: crypto-crc32c\nsoftdep ext4 pre: nothing\nsoftdep virtio_net post: virtio-pci\n";

    fn index() -> Index {
        Index::parse(DEP, ALIAS, SOFT, "kernel/drivers/nvme/host/nvme-core.ko\n")
    }

    fn names(wanted: &[Wanted]) -> Vec<&str> {
        wanted.iter().map(|module| module.name.as_str()).collect()
    }

    #[test]
    fn closures_are_in_loading_order() {
        let ext4 = index().closure("ext4");
        assert_eq!(names(&ext4), ["crc32c_generic", "mbcache", "crc16", "jbd2", "ext4"]);
        assert_eq!(
            ext4.iter().map(|module| module.optional).collect::<Vec<_>>(),
            [true, false, false, false, false]
        );
        let net = index().closure("virtio_net");
        assert_eq!(names(&net), ["failover", "virtio_net", "virtio_pci"]);
        assert_eq!(net[1].file, "kernel/drivers/net/virtio_net.ko.xz");
    }

    #[test]
    fn names_aliases_and_builtins() {
        let index = index();
        assert_eq!(index.resolve("virtio-net"), ["virtio_net"]);
        assert_eq!(index.resolve("virtio:d00000001v00001AF4"), ["virtio_net"]);
        assert_eq!(index.resolve("pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00"), ["virtio_pci"]);
        assert_eq!(index.resolve("nvme_core"), Vec::<String>::new());
        assert!(index.is_builtin("nvme-core"));
        assert_eq!(index.resolve("nothing"), Vec::<String>::new());
    }

    #[test]
    fn globs() {
        assert!(fits("acpi*:PNP0C0[A-C]:*", "acpi:PNP0C0B:PNP0C0A:"));
        assert!(!fits("acpi*:PNP0C0[A-C]:*", "acpi:PNP0C0D:"));
        assert!(fits("a*b*c", "axxbxxbxc"));
        assert!(fits("usb:v?05Ep*", "usb:v405Ep1234"));
        assert!(!fits("abc", "ab"));
        assert!(!fits("ab", "abc"));
    }
}
