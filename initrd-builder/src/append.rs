//! The `append` command: the segment of the package flow, one more archive behind a distribution's own initrd.
//!
//! The kernel unpacks one archive after the other into the same file system, so the segment adds files and changes none,
//! and it must not replace what stock initrds rely on: no entry of it is called `lib`, `lib64`, `bin` or `sbin` (links
//! there), every other folder on the way is an entry, and nothing lies below `/run` (a tmpfs hides that).
//! The files are those of `dracut-module/`; what they do is in `docs/package-flow.md`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cli::AppendArgs;
use crate::codec::Codec;
use crate::tree::Tree;
use crate::{build, cpio, trust};

/// The program's place; hooks copy it to `/run/camphor`, which outlives the pivot.
const INSTALLER: &str = "/usr/libexec/camphor/installer";

/// Where dracut looks for hooks: up to 109 in the first (as `/lib/dracut/hooks`); from 110 on in both, all of the second
/// before all of the first, and of one name only the second's.
const HOOK_TREES: &[&str] = &["/usr/lib/dracut/hooks", "/var/lib/dracut/hooks"];

macro_rules! shell {
    ($name:literal) => {
        include_str!(concat!("../../dracut-module/90camphor/camphor-", $name, ".sh"))
    };
}

/// Hook, place among others, file of `dracut-module/`.
const HOOKS: &[(&str, &str)] = &[
    ("cmdline/20-camphor-cmdline.sh", shell!("cmdline")),
    ("pre-udev/20-camphor-start.sh", shell!("start")),
    ("pre-trigger/60-camphor-wait.sh", shell!("wait")),
    ("initqueue/online/05-camphor-online.sh", shell!("online")),
    ("initqueue/settled/99-camphor-settled.sh", shell!("settled")),
    ("initqueue/timeout/05-camphor-timeout.sh", shell!("timeout")),
    ("emergency/05-camphor-emergency.sh", shell!("emergency")),
];

/// What the hooks source.
const LIBRARY: &[(&str, &str)] =
    &[("/usr/libexec/camphor/lib.sh", shell!("lib")), ("/usr/libexec/camphor/job.sh", shell!("job"))];

/// What was written.
#[derive(Debug)]
pub struct Appended {
    /// Bytes of the stock initrd; 0 if the segment is alone.
    pub stock: usize,
    /// Bytes of the segment.
    pub segment: usize,
}

/// Makes the segment, alone or behind the initrd that `args` name.
pub fn append(args: &AppendArgs) -> Result<Appended> {
    let anchors = trust::read(&args.trust, &args.allow_kusu)?;
    let segment = segment(build::program(&args.installer)?, anchors).context("making the segment")?;
    let stock = args.initrd.as_deref().map(stock).transpose()?.unwrap_or_default();
    let size = Appended { stock: stock.len(), segment: segment.len() };
    build::replace(&args.output, &join(stock, &segment))?;
    Ok(size)
}

/// The segment: gzip, which every distribution's kernel unpacks (zstd came with Linux 5.9, after EL 8), and at any offset.
fn segment(installer: Vec<u8>, anchors: Vec<u8>) -> Result<Vec<u8>> {
    let archive = cpio::write(&contents(installer, anchors)?)?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&archive)?;
    let mut stored = gzip.finish()?;
    // The node's token follows as a plain archive, which the kernel takes only at a multiple of 4. It skips zeros, and
    // gzip(1) ignores them.
    stored.resize(stored.len().next_multiple_of(4), 0);
    Ok(stored)
}

fn contents(installer: Vec<u8>, anchors: Vec<u8>) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.file(INSTALLER, 0o755, installer)?;
    tree.file(trust::PATH, 0o644, anchors)?;
    for (path, text) in LIBRARY {
        tree.file(path, 0o644, text.as_bytes().to_vec())?;
    }
    for hooks in HOOK_TREES {
        for (path, text) in HOOKS {
            tree.file(&format!("{hooks}/{path}"), 0o755, text.as_bytes().to_vec())?;
        }
    }
    Ok(tree)
}

/// Reads a distribution's initrd, as it is. Its compression need not be one that this program can read.
fn stock(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    // An error is a known compression that cannot be read here.
    if !cpio::begins(&bytes) && matches!(Codec::of(&bytes), Ok(Codec::Plain)) {
        bail!("{} is no initrd: neither a cpio archive nor a known compression", path.display());
    }
    Ok(bytes)
}

/// Puts the segment behind the stock initrd: at a multiple of 4, and after four zeros at least, which are the end mark of
/// an lz4 stream as the kernel reads it (lib/decompress_unlz4.c); without them it would take gzip's header for a length.
fn join(mut stock: Vec<u8>, segment: &[u8]) -> Vec<u8> {
    if !stock.is_empty() {
        stock.resize((stock.len() + 4).next_multiple_of(4), 0);
    }
    stock.extend_from_slice(segment);
    stock
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::archive;
    use crate::cpio::{Member, TYPE};

    fn members() -> Vec<Member> {
        let segment = segment(b"\x7fELF".to_vec(), b"{}".to_vec()).unwrap();
        assert_eq!(segment.len() % 4, 0, "the token follows at a multiple of 4");
        let mut segments = archive::read(&segment).unwrap();
        assert_eq!((segments.len(), segments[0].codec), (1, Codec::Gzip));
        segments.remove(0).members
    }

    #[test]
    fn no_entry_replaces_what_stock_initrds_have_as_links_and_every_folder_is_one() {
        let members = members();
        let paths: BTreeSet<&str> = members.iter().map(|member| member.path.as_str()).collect();
        assert_eq!(paths.len(), members.len(), "nothing twice");
        for member in &members {
            let first = member.path.split('/').next().unwrap();
            assert!(
                !["lib", "lib64", "bin", "sbin", "run", "tmp", "dev", "init"].contains(&first),
                "{first}"
            );
            assert_eq!((member.owner, member.mtime), ((0, 0), 0), "{}", member.path);
            let mut parent = member.path.as_str();
            while let Some((above, _)) = parent.rsplit_once('/') {
                assert!(paths.contains(above), "{above} is missing");
                parent = above;
            }
            if member.mode & TYPE == 0o040_000 {
                assert_eq!(member.mode & 0o7777, 0o755, "{}", member.path);
            }
        }
        for folder in ["usr", "usr/lib", "usr/lib/dracut/hooks/initqueue/online", "var/lib", "etc"] {
            let at = |path: &str| members.iter().position(|member| member.path == path);
            let inside = format!("{folder}/");
            let first = members.iter().position(|member| member.path.starts_with(&inside)).unwrap();
            assert!(at(folder).unwrap() < first, "{folder} comes before what is in it");
        }
    }

    #[test]
    fn the_same_hooks_in_both_trees() {
        let members = members();
        let hooks = |tree: &str| -> Vec<(String, u32, Vec<u8>)> {
            let below = |member: &Member| {
                let path = member.path.strip_prefix(tree)?.to_owned();
                (member.mode & TYPE == 0o100_000).then(|| (path, member.mode, member.data.clone()))
            };
            members.iter().filter_map(below).collect()
        };
        let old = hooks("usr/lib/dracut/hooks/");
        assert_eq!(old, hooks("var/lib/dracut/hooks/"));
        assert_eq!(old.len(), HOOKS.len());
        for (path, mode, _) in &old {
            assert_eq!(mode & 0o7777, 0o755, "{path}");
            assert!(path.ends_with(".sh"), "dracut takes *.sh only: {path}");
        }
    }

    #[test]
    fn hooks_sort_where_they_must_and_match_none_of_anacondas_patterns() {
        for (path, _) in HOOKS {
            let (hook, name) = path.rsplit_once('/').unwrap();
            let before = match hook {
                "cmdline" => "25-parse-anaconda-options.sh",
                "pre-udev" => "30-anaconda-modprobe.sh",
                "initqueue/online" => "11-fetch-kickstart-net.sh",
                "initqueue/timeout" => "50-anaconda-error-reporting.sh",
                "pre-trigger" | "initqueue/settled" | "emergency" => "~",
                other => panic!("{other} is no hook of ours"),
            };
            assert!(name < before, "{path}");
            // run_kickstart sources these by pattern.
            let patterns =
                ["parse-anaconda-repo", "parse-livenet", "parse-anaconda-dd", "-genrules", "-nm-config"];
            assert!(patterns.iter().all(|pattern| !name.ends_with(&format!("{pattern}.sh"))), "{name}");
        }
    }

    #[test]
    fn the_program_and_its_anchors_are_where_the_hooks_look() {
        let members = members();
        let find = |path: &str| members.iter().find(|member| member.path == path).unwrap();
        assert_eq!(find("usr/libexec/camphor/installer").mode, 0o100_755);
        assert_eq!(find("etc/camphor/trust.json").data, b"{}");
        assert!(shell!("start").contains(INSTALLER));
        for (path, _) in LIBRARY {
            let sourced = HOOKS.iter().chain(LIBRARY).any(|(_, text)| text.contains(path));
            assert!(sourced, "{path}");
        }
    }

    #[test]
    fn between_stock_and_segment_are_zeros_up_to_a_multiple_of_four() {
        for length in 1..=9 {
            let stock = vec![7; length];
            let joined = join(stock.clone(), b"segm");
            let (front, segment) = joined.split_at(joined.len() - 4);
            assert_eq!((segment, front.len() % 4), (&b"segm"[..], 0));
            let zeros = front.strip_prefix(stock.as_slice()).unwrap();
            assert!((4..8).contains(&zeros.len()) && zeros.iter().all(|&byte| byte == 0), "{length}");
        }
        assert_eq!(join(Vec::new(), b"segm"), b"segm");
    }
}
