//! Which disk of the machine a disk of the document is.

use serde::{Deserialize, Serialize};

/// Conditions that must all hold; a selector that leaves more than one disk and names no `pick` is refused.
///
/// Texts are [`Hint`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSelect {
    /// Serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// World-wide name, as the kernel or udev prints it: `naa.5000…` and `0x5000…` are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wwn: Option<String>,
    /// Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// How it is attached, in the words of lsblk(8): `sata`, `nvme`, `virtio`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Its place in the machine, as the name below `/dev/disk/by-path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_path: Option<String>,
    /// Kernel path, as in `/dev/nvme0n1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The n-th, from 1, of the machine's disks by kernel name. Removable ones are not counted, all others are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// At least this big, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size_mib: Option<u64>,
    /// At most this big, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size_mib: Option<u64>,
    /// Spinning or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotational: Option<bool>,
    /// Kinds of disk that are passed over; absent: [`DiskSelect::excludes`] says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<Excluded>>,
    /// Which of several that match and fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick: Option<DiskPick>,
}

impl DiskSelect {
    /// Transports of storage networks.
    pub const SAN: &[&str] = &["fc", "iscsi", "nvme-of"];

    /// The conditions on texts: their field's name and what it says.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("path", &self.path),
            ("by_path", &self.by_path),
            ("serial", &self.serial),
            ("wwn", &self.wwn),
            ("model", &self.model),
            ("vendor", &self.vendor),
            ("transport", &self.transport),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.as_deref()?)))
    }

    /// Whether it names one disk by what or where it is, rather than a kind of disk or a place among the others.
    pub fn identifies(&self) -> bool {
        self.is_one_of(&["path", "by_path", "serial", "wwn"])
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        self.texts().any(|(name, text)| names.contains(&name) && matches!(Hint::parse(text), Ok(Hint::Is(_))))
    }

    /// Whether one of these transports is asked for by its name: what only is not another asks for none.
    fn asks_for(&self, transports: &[&str]) -> bool {
        let is_one = |text: &str| transports.iter().any(|name| name.eq_ignore_ascii_case(text));
        match self.transport.as_deref().map(Hint::parse) {
            Some(Ok(Hint::Is(text))) => is_one(text),
            Some(Ok(Hint::AnyOf(texts))) => texts.into_iter().any(is_one),
            _ => false,
        }
    }

    /// Whether disks of that kind are passed over. Unless `exclude` says it, that is what nobody installs to unasked:
    /// what is removable, read-only, on USB or in a storage network. A disk that is named by what it is, or by its place in the
    /// machine, is never passed over; the kernel's path is no such name: a stick may be `/dev/sda` in this boot.
    pub fn excludes(&self, kind: Excluded) -> bool {
        let named = || self.is_one_of(&["by_path", "serial", "wwn"]);
        match &self.exclude {
            Some(kinds) => kinds.contains(&kind),
            None => match kind {
                Excluded::Removable | Excluded::ReadOnly => !named(),
                Excluded::Usb => !named() && !self.asks_for(&["usb"]),
                Excluded::San => !named() && !self.asks_for(Self::SAN),
                Excluded::InUse => false,
            },
        }
    }
}

/// Kinds of disk that may be passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Excluded {
    /// The medium can be taken out.
    Removable,
    /// The kernel refuses writes.
    ReadOnly,
    /// On USB.
    Usb,
    /// In a storage network (Fibre Channel, iSCSI): other machines may see it.
    San,
    /// It, or what is on it, is mounted, swap, or a part of something that is active. Not passed over, such a disk is
    /// an error.
    InUse,
}

/// A choice among several disks that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskPick {
    /// The first by kernel name that the partitions fit on.
    First,
    /// The smallest that they fit on.
    Smallest,
    /// The largest.
    Largest,
}

/// What a text of a disk must be: a plain text, or one behind an operator of ironic's root device hints
/// (`s==`, `s!=`, `<in>`, `<or>`, `<all-in>`). Letters compare without their case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint<'a> {
    /// `TEXT` or `s== TEXT`.
    Is(&'a str),
    /// `s!= TEXT`. A disk without such a text does not match either: nothing is known of it.
    IsNot(&'a str),
    /// `<in> TEXT`: it is a part.
    Contains(&'a str),
    /// `<or> TEXT <or> TEXT`: it is one of them.
    AnyOf(Vec<&'a str>),
    /// `<all-in> TEXT <all-in> TEXT`: all of them are parts.
    ContainsAll(Vec<&'a str>),
}

impl<'a> Hint<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let text = text.trim();
        let one = |rest: &'a str| some(rest.trim());
        let several =
            |operator| text.split(operator).skip(1).map(|word| some(word.trim())).collect::<Result<_, _>>();
        if let Some(rest) = text.strip_prefix("s==") {
            one(rest).map(Self::Is)
        } else if let Some(rest) = text.strip_prefix("s!=") {
            one(rest).map(Self::IsNot)
        } else if let Some(rest) = text.strip_prefix("<in>") {
            one(rest).map(Self::Contains)
        } else if text.starts_with("<or>") {
            several("<or>").map(Self::AnyOf)
        } else if text.starts_with("<all-in>") {
            several("<all-in>").map(Self::ContainsAll)
        } else if text.starts_with(['<', '>', '=', '!']) {
            Err("begins with an unknown operator; there are `s==`, `s!=`, `<in>`, `<or>` and `<all-in>`"
                .into())
        } else {
            one(text).map(Self::Is)
        }
    }

    /// Whether what was found is meant.
    pub fn matches(&self, found: &str) -> bool {
        let found = plain(found);
        // What is only a prefix is looked for as it is: without it, nothing would be left, and be part of everything.
        let part = |text: &str| {
            let plain = plain(text);
            if plain.is_empty() { text.to_ascii_lowercase() } else { plain }
        };
        match self {
            Self::Is(text) => plain(text) == found,
            Self::IsNot(text) => plain(text) != found,
            Self::Contains(text) => found.contains(&part(text)),
            Self::AnyOf(texts) => texts.iter().any(|text| plain(text) == found),
            Self::ContainsAll(texts) => texts.iter().all(|text| found.contains(&part(text))),
        }
    }
}

fn some(text: &str) -> Result<&str, String> {
    if text.is_empty() { Err("names nothing".into()) } else { Ok(text) }
}

/// Without case, and without what only some programs write before a WWN.
fn plain(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let digits = ["naa.", "0x"].iter().find_map(|prefix| text.strip_prefix(prefix));
    digits.map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints() {
        for (hint, fits, fails) in [
            ("INTEL SSD", &["INTEL SSD", "intel ssd"][..], &["INTEL SSD 2", ""][..]),
            ("s== INTEL", &["intel"], &["INTEL SSD"]),
            ("s!= INTEL", &["SAMSUNG", ""], &["Intel"]),
            ("<in> SSD", &["INTEL SSD", "ssd"], &["HDD"]),
            ("<or> sata <or> sas", &["sata", "SAS"], &["nvme", "sata <or> sas"]),
            ("<all-in> SAMSUNG <all-in> PM9A3", &["SAMSUNG MZQL2 PM9A3"], &["SAMSUNG PM883"]),
            ("0x5000C500A1", &["naa.5000c500a1", "0x5000c500a1"], &["naa.5000c500a2"]),
            ("<in> 0x", &["S0X1"], &["S1", "naa.5000c500a1"]),
            ("<all-in> naa. <all-in> S", &["SNAA."], &["S1", "naa.5000c500a1"]),
        ] {
            let parsed = Hint::parse(hint).unwrap();
            fits.iter().for_each(|text| assert!(parsed.matches(text), "`{hint}` `{text}`"));
            fails.iter().for_each(|text| assert!(!parsed.matches(text), "`{hint}` `{text}`"));
        }
        for wrong in ["", "  ", "s==", "<or>", "<or> a <or>", "<any> x", ">= 3", "=x", "!= x"] {
            assert!(Hint::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_passed_over_unless_a_disk_is_named() {
        let kinds = [Excluded::Removable, Excluded::ReadOnly, Excluded::Usb, Excluded::San];
        let passed = |select: &DiskSelect| kinds.map(|kind| select.excludes(kind));
        let text = |text: &str| Some(text.to_owned());
        for named in [
            DiskSelect { serial: text("S1"), ..DiskSelect::default() },
            DiskSelect { by_path: text("pci-0000:00:04.0"), ..DiskSelect::default() },
        ] {
            assert_eq!(passed(&named), [false; 4]);
        }
        assert_eq!(passed(&DiskSelect { path: text("/dev/sda"), ..DiskSelect::default() }), [true; 4]);
        for (transport, [usb, san]) in [
            ("fc", [true, false]),
            ("s== USB", [false, true]),
            ("<or> sata <or> iscsi", [true, false]),
            ("nvme", [true, true]),
            ("nvme-of", [true, false]),
            ("s!= nvme", [true, true]),
            ("<in> s", [true, true]),
        ] {
            let asked = DiskSelect { transport: text(transport), ..DiskSelect::default() };
            assert_eq!(passed(&asked), [true, true, usb, san], "{transport}");
        }
    }

    #[test]
    fn only_what_names_one_disk_identifies_it() {
        let serial = |text: &str| DiskSelect { serial: Some(text.into()), ..DiskSelect::default() };
        assert!(serial("S1").identifies());
        assert!(!serial("s!= S1").identifies());
        assert!(!serial("<or> S1 <or> S2").identifies());
        assert!(!DiskSelect { model: Some("X".into()), ..DiskSelect::default() }.identifies());
    }
}
