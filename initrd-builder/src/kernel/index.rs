//! What depmod(8) wrote about a kernel's modules: `modules.dep`, `.alias`, `.softdep`, `.weakdep`, `.builtin`
//! (formats: modules.dep(5), and kmod's `tools/depmod.c`). Names are held with `_` for `-`, as the kernel does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::pattern;

/// A loadable module.
#[derive(Debug, PartialEq, Eq)]
pub struct Module {
    /// Below `lib/modules/V`, as `modules.dep` has it (`kernel/fs/xfs/xfs.ko.xz`).
    pub path: String,
    /// Names of all modules that must be loaded before it.
    pub needs: Vec<String>,
}

/// The indexes of one kernel.
#[derive(Debug)]
pub struct Index {
    /// Release, as `uname -r` prints it.
    pub version: String,
    /// The folder `lib/modules/V` on this machine.
    pub dir: PathBuf,
    /// Loadable modules by name.
    pub modules: BTreeMap<String, Module>,
    /// Names of modules that are part of the kernel image.
    pub builtin: BTreeSet<String>,
    /// Modules and aliases that a module likes to have (softdep and weakdep), by its name.
    pub wishes: BTreeMap<String, Vec<String>>,
    aliases: Vec<(String, String)>,
    texts: Texts,
}

/// The files as they were, for writing the trimmed ones.
#[derive(Debug, Default)]
struct Texts {
    dep: String,
    alias: String,
    softdep: String,
    builtin: String,
}

/// How a name is known to a kernel.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// These modules carry the name, or an alias that matches it.
    Modules(Vec<String>),
    /// It is part of the kernel image.
    Builtin,
    /// This kernel does not have it.
    Absent,
}

impl Index {
    /// Reads the indexes of kernel `version` below `root` (`lib/modules/V` or `usr/lib/modules/V`).
    pub fn read(root: &Path, version: &str) -> Result<Self> {
        let places = [root.join("lib/modules").join(version), root.join("usr/lib/modules").join(version)];
        let Some(dir) = places.iter().find(|place| place.is_dir()) else {
            bail!(
                "kernel {version} has no modules in {}: {} is no folder",
                root.display(),
                places[0].display()
            );
        };
        let dep = std::fs::read_to_string(dir.join("modules.dep")).with_context(|| {
            format!("reading modules.dep of {version} (`depmod -b {} {version}` makes it)", root.display())
        })?;
        let optional = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        let weak = optional("modules.weakdep");
        let texts = Texts {
            dep,
            alias: optional("modules.alias"),
            softdep: optional("modules.softdep"),
            builtin: optional("modules.builtin"),
        };
        unpacks_zstd(root, dir, version)?;
        let wishes = parse_wishes(&[&texts.softdep, &weak]);
        Ok(Self::parse(version, dir.clone(), texts, wishes))
    }

    fn parse(version: &str, dir: PathBuf, texts: Texts, wishes: BTreeMap<String, Vec<String>>) -> Self {
        Self {
            version: version.into(),
            dir,
            modules: parse_dep(&texts.dep),
            builtin: texts.builtin.lines().map(name_of).collect(),
            wishes,
            aliases: parse_alias(&texts.alias),
            texts,
        }
    }

    /// The folder of the modules inside the initrd.
    pub fn inside(&self) -> String {
        format!("/lib/modules/{}", self.version)
    }

    /// Looks a module name or an alias up.
    pub fn lookup(&self, name: &str) -> Lookup {
        let key = normal(name);
        if self.modules.contains_key(&key) {
            return Lookup::Modules(vec![key]);
        }
        if self.builtin.contains(&key) {
            return Lookup::Builtin;
        }
        let found: BTreeSet<String> = self
            .aliases
            .iter()
            .filter(|(alias, module)| {
                self.modules.contains_key(module) && (pattern::matches(alias, name) || normal(alias) == key)
            })
            .map(|(_, module)| module.clone())
            .collect();
        if found.is_empty() { Lookup::Absent } else { Lookup::Modules(found.into_iter().collect()) }
    }

    /// The index files that go into the initrd: only the lines about modules in `inside`, and without the suffixes of
    /// compression. `modules.builtin` stays whole, for a module that is looked for may be in the kernel image.
    pub fn trimmed(&self, inside: &BTreeSet<String>) -> Vec<(&'static str, String)> {
        let lines = |text: &str, keep: &dyn Fn(&str) -> bool| -> String {
            text.lines().filter(|line| keep(line)).flat_map(|line| [line, "\n"]).collect()
        };
        let dep = self
            .texts
            .dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(path, _)| inside.contains(&name_of(path)))
            .map(|(path, needs)| {
                let needs: String =
                    needs.split_whitespace().flat_map(|need| [" ", plain_path(need)]).collect();
                format!("{}:{needs}\n", plain_path(path))
            })
            .collect();
        let word = |line: &str, at: usize| line.split_whitespace().nth(at).map(normal);
        let about = |line: &str, at: usize| word(line, at).is_some_and(|name| inside.contains(&name));
        vec![
            ("modules.dep", dep),
            ("modules.alias", lines(&self.texts.alias, &|line| line.starts_with("alias ") && about(line, 2))),
            (
                "modules.softdep",
                lines(&self.texts.softdep, &|line| line.starts_with("softdep ") && about(line, 1)),
            ),
            ("modules.builtin", self.texts.builtin.clone()),
        ]
    }
}

/// Refuses a kernel whose configuration, where there is one, says that it cannot unpack zstd: it would panic at boot
/// for want of a root.
fn unpacks_zstd(root: &Path, dir: &Path, version: &str) -> Result<()> {
    let places = [dir.join("config"), root.join(format!("boot/config-{version}"))];
    let Some(config) = places.iter().find_map(|place| std::fs::read_to_string(place).ok()) else {
        return Ok(());
    };
    if !config.lines().any(|line| line == "CONFIG_RD_ZSTD=y") {
        bail!(
            "kernel {version} cannot unpack a zstd initrd (no CONFIG_RD_ZSTD): boot with a kernel from Linux 5.9 on"
        );
    }
    Ok(())
}

/// A name as the kernel holds it.
pub fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// The module name of a path: `kernel/net/8021q/8021q.ko.xz` is `8021q`.
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split(".ko").next().unwrap_or(file))
}

/// A module's path without the suffix of its compression.
pub fn plain_path(path: &str) -> &str {
    [".xz", ".zst", ".gz"].iter().find_map(|suffix| path.strip_suffix(suffix)).unwrap_or(path)
}

fn parse_dep(text: &str) -> BTreeMap<String, Module> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, needs)| {
            let needs = needs.split_whitespace().map(name_of).collect();
            (name_of(path), Module { path: path.into(), needs })
        })
        .collect()
}

/// `alias PATTERN MODULE`; the pattern may hold no blanks.
fn parse_alias(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["alias", pattern, module] => Some((pattern.to_owned(), normal(module))),
            _ => None,
        })
        .collect()
}

/// `softdep MODULE pre: A B post: C` and `weakdep MODULE A B`. Some modules leave `pre:` out: kmod ignores those
/// words when it loads, but they were written for builders of initrds.
fn parse_wishes(texts: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut wishes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let mut words = line.split_whitespace();
        if let (Some("softdep" | "weakdep"), Some(module)) = (words.next(), words.next()) {
            let names = words.filter(|word| !matches!(*word, "pre:" | "post:")).map(str::to_owned);
            wishes.entry(normal(module)).or_default().extend(names);
        }
    }
    wishes
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A made-up kernel: `app` needs `lib-one` needs `base`; `app` wishes the alias `crypto-sum` (two modules carry
    /// it), `ext` which is built in, and `nowhere`.
    pub fn made_up() -> Index {
        let texts = Texts {
            dep: "kernel/app.ko.xz: kernel/lib-one.ko.xz kernel/base.ko.xz\nkernel/lib-one.ko.xz: kernel/base.ko.xz\n\
                  kernel/base.ko.xz:\nkernel/sum_a.ko.xz:\nkernel/sum-b.ko.xz: kernel/base.ko.xz\nkernel/other.ko.xz:\n"
                .into(),
            alias: "# head\nalias crypto-sum sum_a\nalias crypto-s* sum_b\nalias pci:v1* other\nalias pci:v2* app\n".into(),
            softdep: "# head\nsoftdep app pre: crypto-sum ext post: nowhere\nsoftdep other pre: app\n".into(),
            builtin: "kernel/fs/ext.ko\n".into(),
        };
        let wishes = parse_wishes(&[&texts.softdep, "weakdep base other\n"]);
        Index::parse("1.2.3", PathBuf::from("/none"), texts, wishes)
    }

    #[test]
    fn names_aliases_and_builtins_are_found() {
        let index = made_up();
        assert_eq!(index.lookup("lib-one"), Lookup::Modules(vec!["lib_one".into()]));
        assert_eq!(index.lookup("lib_one"), Lookup::Modules(vec!["lib_one".into()]));
        assert_eq!(index.lookup("crypto-sum"), Lookup::Modules(vec!["sum_a".into(), "sum_b".into()]));
        assert_eq!(index.lookup("ext"), Lookup::Builtin);
        assert_eq!(index.lookup("nowhere"), Lookup::Absent);
        assert_eq!(index.modules["app"].needs, ["lib_one", "base"]);
    }

    #[test]
    fn indexes_are_trimmed_to_what_is_inside() {
        let inside = ["app", "lib_one", "base", "sum_b"].map(String::from).into();
        let files: BTreeMap<_, _> = made_up().trimmed(&inside).into_iter().collect();
        assert_eq!(
            files["modules.dep"],
            "kernel/app.ko: kernel/lib-one.ko kernel/base.ko\nkernel/lib-one.ko: kernel/base.ko\nkernel/base.ko:\n\
             kernel/sum-b.ko: kernel/base.ko\n"
        );
        assert_eq!(files["modules.alias"], "alias crypto-s* sum_b\nalias pci:v2* app\n");
        assert_eq!(files["modules.softdep"], "softdep app pre: crypto-sum ext post: nowhere\n");
        assert_eq!(files["modules.builtin"], "kernel/fs/ext.ko\n");
    }

    #[test]
    fn names_of_paths() {
        assert_eq!(name_of("kernel/net/8021q/8021q.ko.zst"), "8021q");
        assert_eq!(name_of("updates/dkms/my-mod.ko"), "my_mod");
        assert_eq!(plain_path("kernel/a.ko.gz"), "kernel/a.ko");
    }
}
