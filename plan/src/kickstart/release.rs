//! What the kickstarts of the releases have in common and what not: the one place that knows.
//!
//! To add a release, add a row. Sources: the version tables of pykickstart (`pykickstart/handlers/*.py`) and, for what
//! anaconda itself began to obey later, the tags of rhinstaller/anaconda.

use nii::Finding;
use nii::v1::{Distribution, Family};
use serde::Serialize;

/// The words of one release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Release {
    /// The syntax's name for pykickstart (`ksvalidator -v`), as in `RHEL9`.
    pub name: String,
    /// What it knows.
    #[serde(flatten)]
    pub words: Words,
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Words {
    /// `timesource --ntp-server=` for each server; else `timezone --ntpservers=`.
    pub timesource: bool,
    /// `network --ipv4-dns-search=` and `--ipv4-ignore-auto-dns`, and the same for IPv6.
    pub network_dns: bool,
    /// `raid --device=` loses a leading `md` (pykickstart before F43_Raid).
    pub raid_drops_md: bool,
}

/// A release: from this version on, until the next row of its family.
struct Row {
    family: Family,
    from: (u32, u32),
    words: Words,
}

const fn row(family: Family, from: (u32, u32), flags: [bool; 3]) -> Row {
    let [timesource, network_dns, raid_drops_md] = flags;
    Row { family, from, words: Words { timesource, network_dns, raid_drops_md } }
}

const ROWS: &[Row] = &[
    //                         timesource, network_dns, raid_drops_md
    row(Family::Rhel, (8, 0), [false, false, true]),
    row(Family::Rhel, (9, 0), [true, false, true]),
    // anaconda-34.25.3.1 (RHEL 9.3): "Add DNS search and ignore options from kickstart".
    row(Family::Rhel, (9, 3), [true, true, true]),
    // pykickstart 3.32.15 and 3.52.9 (May 2025, after RHEL 9.6 and 10.0): "Do not remove md prefix from RAID names".
    row(Family::Rhel, (9, 7), [true, true, false]),
    row(Family::Rhel, (10, 0), [true, true, true]),
    row(Family::Rhel, (10, 1), [true, true, false]),
    row(Family::Fedora, (40, 0), [true, true, true]),
    row(Family::Fedora, (43, 0), [true, true, false]),
];
/// The newest RHEL whose kickstart is known. Fedora's is taken to go on as it is.
const NEWEST_RHEL: u32 = 10;

/// The words of that distribution; `None` with a finding for one that is not known.
pub(super) fn find(os: &Distribution, out: &mut Vec<Finding>) -> Option<Release> {
    let mut numbers = os.version.split('.').map(str::parse::<u32>);
    let Some(Ok(major)) = numbers.next() else {
        let message = format!("`{}` is no version such as `9.6` or `43`", os.version);
        out.push(Finding::error("package.os.version", message));
        return None;
    };
    // Without a minor version it is the newest of its major one.
    let minor = numbers.next().and_then(Result::ok).unwrap_or(u32::MAX);
    let row = ROWS.iter().rev().find(|row| row.family == os.family && row.from <= (major, minor));
    let (prefix, known) = match os.family {
        Family::Rhel => ("RHEL", major <= NEWEST_RHEL),
        Family::Fedora => ("F", true),
    };
    match row {
        Some(row) if known => Some(Release { name: format!("{prefix}{major}"), words: row.words }),
        _ => {
            let message = "camphor knows the kickstarts of RHEL 8, 9 and 10 and of Fedora from 40 on";
            out.push(Finding::error("package.os.version", message));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(family: Family, version: &str) -> Option<(String, Words)> {
        let os = Distribution { family, version: version.into(), arch: "x86_64".into() };
        let mut out = Vec::new();
        let found = find(&os, &mut out);
        assert_eq!(found.is_none(), !out.is_empty());
        found.map(|release| (release.name, release.words))
    }

    #[test]
    fn releases_by_version() {
        let known = |family, version: &str| words(family, version).unwrap_or_else(|| panic!("{version}"));
        assert_eq!(known(Family::Rhel, "8.10").0, "RHEL8");
        assert!(!known(Family::Rhel, "9.2").1.network_dns);
        assert!(known(Family::Rhel, "9.10").1.network_dns);
        assert!(known(Family::Rhel, "9").1.network_dns);
        assert!(known(Family::Rhel, "9.6").1.raid_drops_md);
        assert!(!known(Family::Rhel, "9").1.raid_drops_md);
        assert!(!known(Family::Rhel, "10.1").1.raid_drops_md);
        assert_eq!(known(Family::Fedora, "44").0, "F44");
        for (family, version) in [(Family::Rhel, "7.9"), (Family::Rhel, "11"), (Family::Fedora, "rawhide")] {
            assert_eq!(words(family, version), None);
        }
    }
}
