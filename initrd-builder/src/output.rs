//! Tables for people, on any writer. Warnings and errors go to stderr, from `main`.

use std::io::{Result, Write};
use std::path::Path;
use std::time::Duration;

use crate::append::Appended;
use crate::archive::Segment;
use crate::build::Built;
use crate::cpio::{Member, TYPE};
use crate::explain::{Change, Share};

/// The table of `size` and `build`: groups, their bytes, their share of the file.
pub fn shares(out: &mut impl Write, shares: &[Share]) -> Result<()> {
    let stored: usize = shares.iter().map(|share| share.stored).sum();
    writeln!(out, "{:<10} {:>8} {:>13} {:>13} {:>7}", "group", "entries", "bytes", "stored about", "share")?;
    for share in shares {
        let percent = 100.0 * share.stored as f64 / stored.max(1) as f64;
        let (bytes, stored) = (grouped(share.bytes), grouped(share.stored));
        writeln!(out, "{:<10} {:>8} {bytes:>13} {stored:>13} {percent:>5.1} %", share.group, share.entries)?;
    }
    let bytes = grouped(shares.iter().map(|share| share.bytes).sum());
    let entries: usize = shares.iter().map(|share| share.entries).sum();
    writeln!(out, "{:<10} {entries:>8} {bytes:>13} {:>13}", "all", grouped(stored))
}

/// What `build` made.
pub fn built(
    out: &mut impl Write,
    path: &Path,
    built: &Built,
    groups: &[Share],
    took: Duration,
) -> Result<()> {
    shares(out, groups)?;
    let (size, seconds) = (grouped(built.segment.stored), took.as_secs_f64());
    let (modules, builtin) = (built.modules, built.builtin);
    writeln!(out, "{modules} modules; {builtin} more that were asked for are part of the kernel")?;
    writeln!(out, "{}: {size} bytes in {seconds:.2} s", path.display())
}

/// What `append` made.
pub fn appended(out: &mut impl Write, path: &Path, appended: &Appended) -> Result<()> {
    let (segment, stock) = (grouped(appended.segment), grouped(appended.stock));
    match appended.stock {
        0 => writeln!(out, "{}: the segment, {segment} bytes", path.display()),
        _ => {
            writeln!(out, "{}: {stock} bytes as they were, then the segment, {segment} bytes", path.display())
        }
    }
}

/// One line a segment.
pub fn segments(out: &mut impl Write, segments: &[Segment]) -> Result<()> {
    for (number, segment) in (1..).zip(segments) {
        segment_line(out, number, segment)?;
    }
    Ok(())
}

fn segment_line(out: &mut impl Write, number: usize, segment: &Segment) -> Result<()> {
    let (codec, stored, entries) = (segment.codec, grouped(segment.stored), segment.members.len());
    writeln!(out, "segment {number}: {codec}, {stored} bytes, {entries} entries")
}

/// The largest files.
pub fn largest(out: &mut impl Write, members: &[&Member]) -> Result<()> {
    writeln!(out, "largest:")?;
    for member in members {
        writeln!(out, "{:>13} {}", grouped(member.data.len()), member.path)?;
    }
    Ok(())
}

/// Every entry of every segment, as `ls -l` would show it.
pub fn list(out: &mut impl Write, segments: &[Segment]) -> Result<()> {
    for (number, segment) in (1..).zip(segments) {
        segment_line(out, number, segment)?;
        for member in &segment.members {
            let (uid, gid) = member.owner;
            let size = match member.mode & TYPE {
                0o020_000 | 0o060_000 => format!("{},{}", member.device.0, member.device.1),
                _ => member.data.len().to_string(),
            };
            writeln!(out, "{} {uid}:{gid} {size:>9} {}{}", mode(member), member.path, link(member))?;
        }
    }
    Ok(())
}

/// The differences, and their sum.
pub fn diff(out: &mut impl Write, changes: &[Change<'_>]) -> Result<()> {
    let (mut less, mut more) = (0, 0);
    for change in changes {
        match change {
            Change::Added(new) => {
                more += new.data.len();
                writeln!(out, "+ {} {} {}{}", mode(new), grouped(new.data.len()), new.path, link(new))?;
            }
            Change::Removed(old) => {
                less += old.data.len();
                writeln!(out, "- {} {} {}{}", mode(old), grouped(old.data.len()), old.path, link(old))?;
            }
            Change::Changed(old, new) => {
                less += old.data.len();
                more += new.data.len();
                writeln!(out, "~ {}", changed(old, new))?;
            }
        }
    }
    writeln!(
        out,
        "{} entries differ; {} bytes less, {} bytes more",
        changes.len(),
        grouped(less),
        grouped(more)
    )
}

fn changed(old: &Member, new: &Member) -> String {
    let mut what = Vec::new();
    if old.mode != new.mode {
        what.push(format!("{} -> {}", mode(old), mode(new)));
    }
    if old.owner != new.owner {
        what.push(format!("{}:{} -> {}:{}", old.owner.0, old.owner.1, new.owner.0, new.owner.1));
    }
    if old.device != new.device {
        what.push(format!("{},{} -> {},{}", old.device.0, old.device.1, new.device.0, new.device.1));
    }
    if old.data != new.data {
        let (from, to) = (link(old), link(new));
        what.push(if from.is_empty() || to.is_empty() {
            format!("{} -> {} bytes", grouped(old.data.len()), grouped(new.data.len()))
        } else {
            format!("{} ->{}", from.trim_start_matches(" -> "), to.trim_start_matches(" ->"))
        });
    }
    format!("{} ({})", new.path, what.join(", "))
}

fn link(member: &Member) -> String {
    let is_link = member.mode & TYPE == 0o120_000;
    if is_link { format!(" -> {}", String::from_utf8_lossy(&member.data)) } else { String::new() }
}

/// `drwxr-xr-x`, with the set-id and sticky bits as ls(1) shows them.
fn mode(member: &Member) -> String {
    let kind = match member.mode & TYPE {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = member.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, member.mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// `1234567` as `1 234 567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(mode: u32, data: &[u8]) -> Member {
        Member { path: "a".into(), mode, owner: (0, 0), mtime: 0, device: (5, 1), data: data.into() }
    }

    #[test]
    fn modes_and_numbers() {
        assert_eq!(mode(&member(0o041_777, b"")), "drwxrwxrwt");
        assert_eq!(mode(&member(0o104_644, b"")), "-rwSr--r--");
        assert_eq!(mode(&member(0o120_777, b"")), "lrwxrwxrwx");
        assert_eq!(
            (grouped(0), grouped(999), grouped(1_234_567)),
            ("0".into(), "999".into(), "1 234 567".into())
        );
    }

    #[test]
    fn a_change_says_what_changed() {
        let text = changed(&member(0o100_644, b"12"), &member(0o100_755, b"1"));
        assert_eq!(text, "a (-rw-r--r-- -> -rwxr-xr-x, 2 -> 1 bytes)");
        assert_eq!(changed(&member(0o120_777, b"x"), &member(0o120_777, b"y")), "a (x -> y)");
    }
}
