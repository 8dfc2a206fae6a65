//! `.treeinfo`, as productmd writes it (productmd's `doc/treeinfo-1.x.rst`): pure. It is text from a mirror, so its
//! paths are made normal here, and one that leads out of the tree is refused.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use nii::v1::{Distribution, Family};

use crate::names::{self, is_name};

/// What counts of it. Paths are relative to the tree and normal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treeinfo {
    /// Name and version for people.
    pub title: String,
    /// The release.
    pub os: Distribution,
    /// The kernel.
    pub kernel: String,
    /// The initrd.
    pub initrd: String,
    /// Anaconda's second stage.
    pub stage2: String,
    /// Names and folders of the variants that have a repository.
    pub variants: Vec<(String, String)>,
    /// SHA-256 of files, in hexadecimal digits.
    pub checksums: BTreeMap<String, String>,
}

/// Name of the base repository in all that is built like RHEL (anaconda's `DEFAULT_REPOS`).
pub const BASE: &str = "BaseOS";
/// The majors of RHEL whose installer camphor knows (docs/package-flow.md).
const RHEL: std::ops::RangeInclusive<u32> = 8..=10;
/// Far more than any has: a mirror's file is not to fill the memory.
pub const SIZE_MAX: u64 = 1 << 20;

type Sections<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>;

/// Reads it. `folder` is where it lies in the tree, which paths are relative to.
///
/// # Errors
/// The section and the key that is missing or wrong.
pub fn parse(text: &str, folder: &str) -> Result<Treeinfo> {
    let sections = sections(text)?;
    let find = |section: &str, key: &str| sections.get(section).and_then(|keys| keys.get(key)).copied();
    let need = |section: &str, key: &str| {
        find(section, key)
            .filter(|value| !value.is_empty())
            .with_context(|| format!("[{section}] {key}: is missing"))
    };
    let path = |section: &str, key: &str| {
        join(folder, need(section, key)?).with_context(|| format!("[{section}] {key}"))
    };
    // `general` is for readers from before productmd, and has the same once more.
    let either =
        |section: &str, key: &str, general: &str| need(section, key).or_else(|_| need("general", general));
    let (name, version) = (either("release", "name", "family")?, either("release", "version", "version")?);
    let arch = either("tree", "arch", "arch")?;
    ensure!(is_name(arch), "[tree] arch: `{arch}` is no architecture");
    let images = format!("images-{arch}");
    let mut variants = Vec::new();
    let listed = either("tree", "variants", "variants")?;
    for variant in listed.split(',').map(str::trim).filter(|variant| !variant.is_empty()) {
        ensure!(is_name(variant), "[tree] variants: `{variant}` is no name: {}", names::RULE);
        let section = format!("variant-{variant}");
        ensure!(
            sections.contains_key(section.as_str()),
            "[{section}]: is missing, and [tree] variants names it"
        );
        let is_new = variants.iter().all(|(name, _)| name != variant);
        if is_new && find(&section, "repository").is_some() {
            variants.push((variant.to_owned(), path(&section, "repository")?));
        }
    }
    let has_base = variants.iter().any(|(name, _)| name == BASE);
    Ok(Treeinfo {
        title: format!("{name} {version}").chars().filter(|c| !c.is_control()).collect(),
        os: Distribution {
            family: family(name, version, has_base)?,
            version: version.into(),
            arch: arch.into(),
        },
        kernel: path(&images, "kernel")?,
        initrd: path(&images, "initrd")?,
        stage2: path("stage2", "mainimage")?,
        variants,
        checksums: checksums(sections.get("checksums"), folder)?,
    })
}

/// The lines that Python's configparser takes, without those that productmd does not write (continued values, `:`).
fn sections(text: &str) -> Result<Sections<'_>> {
    let mut sections = Sections::new();
    let mut name = None;
    for (i, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())) {
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(inner) = line.strip_prefix('[') {
            let section =
                inner.strip_suffix(']').with_context(|| format!("line {i}: a section has no `]`"))?;
            sections.entry(section).or_default();
            name = Some(section);
            continue;
        }
        let (key, value) = line.split_once('=').with_context(|| format!("line {i}: is no `key = value`"))?;
        let section = name.with_context(|| format!("line {i}: is in no section"))?;
        sections.entry(section).or_default().insert(key.trim(), value.trim());
    }
    Ok(sections)
}

/// Rebuilds of RHEL have names of their own, and all have its base repository.
fn family(name: &str, version: &str, has_base: bool) -> Result<Family> {
    let major: u32 = version
        .split('.')
        .next()
        .filter(|_| {
            version.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
        })
        .and_then(|major| major.parse().ok())
        .with_context(|| format!("[release] version: `{version}` is no version such as `9.6` or `43`"))?;
    if name.starts_with("Fedora") {
        return Ok(Family::Fedora);
    }
    ensure!(
        has_base && RHEL.contains(&major),
        "[release]: {name} {version} is neither Fedora nor RHEL {} to {} or a rebuild of it",
        RHEL.start(),
        RHEL.end()
    );
    Ok(Family::Rhel)
}

fn checksums(listed: Option<&BTreeMap<&str, &str>>, folder: &str) -> Result<BTreeMap<String, String>> {
    let mut checksums = BTreeMap::new();
    for (path, value) in listed.into_iter().flatten() {
        let about = || format!("[checksums] {path}");
        let Some(("sha256", sum)) = value.split_once(':') else {
            bail!("{}: `{value}` is no `sha256:…`, which is all that camphor checks", about())
        };
        let is_sum = sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit());
        ensure!(is_sum, "{}: `{sum}` is no SHA-256", about());
        checksums.insert(join(folder, path).with_context(about)?, sum.to_ascii_lowercase());
    }
    Ok(checksums)
}

/// `path` below `folder`, made normal: both relative to the tree, and so is the result.
///
/// # Errors
/// When it leads out of the tree, or has characters that a URL cannot have as they are.
pub fn join(folder: &str, path: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+~/".contains(c);
    ensure!(
        !path.is_empty() && path.chars().all(plain),
        "`{path}` is no path of letters, digits, `-`, `_`, `.`, `+`, `~` and `/`"
    );
    ensure!(!path.starts_with('/'), "`{path}` is no path relative to `.treeinfo`");
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                let left = parts.pop();
                left.with_context(|| {
                    format!("`{path}` leads out of what is imported: import the folder above that has both")
                })?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rocky Linux 9.6's DVD, shortened.
    const DVD: &str = "[checksums]\nimages/install.img = sha256:00000000000000000000000000000000000000000000000000000000000000aB\n\n\
        [general]\n; WARNING.0 = This section provides compatibility with pre-productmd treeinfos.\narch = x86_64\n\
        family = Rocky Linux\nname = Rocky Linux 9.6\nversion = 9.6\nvariants = AppStream,BaseOS\n\n\
        [header]\ntype = productmd.treeinfo\nversion = 1.2\n\n\
        [images-x86_64]\ninitrd = images/pxeboot/initrd.img\nkernel = images/pxeboot/vmlinuz\n\n\
        [release]\nname = Rocky Linux\nshort = Rocky\nversion = 9.6\n\n[stage2]\nmainimage = images/install.img\n\n\
        [tree]\narch = x86_64\nbuild_timestamp = 1748274131\nplatforms = x86_64,xen\nvariants = AppStream,BaseOS\n\n\
        [variant-AppStream]\nid = AppStream\npackages = AppStream/Packages\nrepository = AppStream\ntype = variant\n\n\
        [variant-BaseOS]\nid = BaseOS\npackages = BaseOS/Packages\nrepository = BaseOS\ntype = variant\n";

    fn refusal(from: &str, to: &str) -> String {
        assert!(DVD.contains(from), "{from}");
        format!("{:#}", parse(&DVD.replace(from, to), "").unwrap_err())
    }

    #[test]
    fn a_dvd_says_what_it_is() {
        let info = parse(DVD, "").unwrap();
        assert_eq!(
            (info.title.as_str(), info.os.family, info.os.version.as_str()),
            ("Rocky Linux 9.6", Family::Rhel, "9.6")
        );
        assert_eq!(
            (info.kernel.as_str(), info.stage2.as_str()),
            ("images/pxeboot/vmlinuz", "images/install.img")
        );
        let variants = [("AppStream", "AppStream"), ("BaseOS", "BaseOS")];
        assert_eq!(info.variants, variants.map(|(name, path)| (name.to_owned(), path.to_owned())));
        assert!(info.checksums["images/install.img"].ends_with("00ab"));
    }

    /// There the repositories are beside each other, three folders up.
    #[test]
    fn a_mirror_is_read_from_where_its_treeinfo_is() {
        let text = DVD
            .replace("repository = AppStream", "repository = ../../../AppStream/x86_64/os/")
            .replace("repository = BaseOS", "repository = .");
        let info = parse(&text, "BaseOS/x86_64/os").unwrap();
        assert_eq!(info.variants[0].1, "AppStream/x86_64/os");
        assert_eq!(info.variants[1].1, "BaseOS/x86_64/os");
        assert_eq!(info.kernel, "BaseOS/x86_64/os/images/pxeboot/vmlinuz");
        let alone = format!("{:#}", parse(&text, "").unwrap_err());
        assert!(
            alone.starts_with("[variant-AppStream] repository: `../../../AppStream/x86_64/os/` leads out"),
            "{alone}"
        );
    }

    #[test]
    fn fedora_has_one_repository_at_its_root() {
        let text =
            DVD.replace("Rocky Linux", "Fedora").replace("9.6", "43").replace("AppStream,BaseOS", "Server");
        let text = format!("{text}[variant-Server]\nrepository = .\n");
        let info = parse(&text, "").unwrap();
        assert_eq!(
            (info.os.family, info.variants),
            (Family::Fedora, vec![("Server".to_owned(), String::new())])
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (from, to, said) in [
            ("kernel = images", "x = images", "[images-x86_64] kernel: is missing"),
            ("[images-x86_64]", "[images-aarch64]", "[images-x86_64] kernel: is missing"),
            ("mainimage = images/install.img", "", "[stage2] mainimage: is missing"),
            ("[variant-BaseOS]", "[variant-Base]", "[variant-BaseOS]: is missing"),
            (
                "images/pxeboot/vmlinuz",
                "/boot/vmlinuz",
                "[images-x86_64] kernel: `/boot/vmlinuz` is no path relative",
            ),
            (
                "images/pxeboot/vmlinuz",
                "../../etc/passwd",
                "[images-x86_64] kernel: `../../etc/passwd` leads out",
            ),
            ("images/pxeboot/vmlinuz", "a b", "`a b` is no path of"),
            ("images/pxeboot/vmlinuz", "a%2e", "`a%2e` is no path of"),
            ("repository = BaseOS", "repository = ../x", "[variant-BaseOS] repository: `../x` leads out"),
            ("sha256:", "md5:", "[checksums] images/install.img: `md5:"),
            ("00aB", "00", "is no SHA-256"),
            (
                "name = Rocky Linux\nshort = Rocky\nversion = 9.6",
                "name = Rocky Linux\nversion = 9x",
                "`9x` is no version",
            ),
            ("short = Rocky\nversion = 9.6", "version = 11.0", "is neither Fedora nor RHEL 8 to 10"),
            (
                "variants = AppStream,BaseOS\n\n[variant",
                "variants = ../x\n\n[variant",
                "[tree] variants: `../x` is no name",
            ),
            ("[header]", "[header", "a section has no `]`"),
            ("type = productmd.treeinfo", "what is this", "is no `key = value`"),
        ] {
            let refusal = refusal(from, to);
            assert!(refusal.contains(said), "{said}: {refusal}");
        }
        assert!(parse("", "").is_err() && parse("a = b\n", "").is_err());
    }

    fn is_inside(path: &str) -> bool {
        !path.starts_with('/')
            && path.split('/').all(|part| part != ".." && part != ".")
            && !path.contains("//")
    }

    proptest! {
        #[test]
        fn no_path_leads_out(folder in "([a-z]{1,3}(/[a-z]{1,3}){0,3})?", path in "([a-z.]{0,3}/?){0,8}") {
            if let Ok(joined) = join(&folder, &path) {
                prop_assert!(is_inside(&joined), "{joined}");
                // A file system agrees.
                let real = format!("/root/{folder}/{path}");
                let mut parts: Vec<&str> = Vec::new();
                for part in real.split('/').filter(|part| !part.is_empty() && *part != ".") {
                    if part == ".." { parts.pop(); } else { parts.push(part); }
                }
                let joined = format!("root/{joined}");
                prop_assert_eq!(joined.trim_end_matches('/'), parts.join("/"));
            }
        }

        #[test]
        fn hostile_text_is_refused_or_harmless(
            at in 0usize..1400,
            text in prop_oneof!["\\PC{0,40}", "[\\[\\]=\\n./ a]{0,40}", Just("../../../".to_owned()), Just("\0".to_owned())],
        ) {
            let at = at.min(DVD.len());
            let hostile = format!("{}{text}{}", &DVD[..at], &DVD[at..]);
            if let Ok(info) = parse(&hostile, "") {
                let paths = info.variants.iter().map(|(_, path)| path).chain(info.checksums.keys());
                for path in paths.chain([&info.kernel, &info.initrd, &info.stage2]) {
                    prop_assert!(is_inside(path), "{path}");
                }
                prop_assert!(info.variants.iter().all(|(name, _)| is_name(name)));
                prop_assert!(!info.title.contains(char::is_control));
            }
        }
    }
}
