//! What kind of operating system an image holds, as far as plans differ by it.

use nii::manifest::Os;

/// Whether the image is of the Red Hat family: Fedora, RHEL and its rebuilds.
pub(crate) fn is_redhat(os: &Os) -> bool {
    let family = ["fedora", "rhel", "centos"];
    family.contains(&os.id.as_str()) || os.id_like.iter().any(|like| family.contains(&like.as_str()))
}

/// Whether the image is of the Debian family. Where neither is known, plans have ops for both, and guards decide.
pub(crate) fn is_debian(os: &Os) -> bool {
    ["debian", "ubuntu"].contains(&os.id.as_str()) || os.id_like.iter().any(|like| like == "debian")
}

/// Whether the image is one of these systems from that major version on. Of an unknown system nothing is assumed.
pub(crate) fn is_at_least(os: &Os, since: &[(&str, u32)]) -> bool {
    // RHEL's rebuilds count as it does; other derivatives (Mint of Ubuntu, …) number their own way.
    let rebuild = os.id_like.iter().any(|like| like == "rhel") || os.id == "centos";
    let id = if rebuild { "rhel" } else { os.id.as_str() };
    let major: Option<u32> = os.version_id.split('.').next().and_then(|major| major.parse().ok());
    since.iter().any(|(since_id, since)| *since_id == id && major.is_some_and(|major| major >= *since))
}

/// The leading numbers of a version: `6.1.0-13-cloud` is (6, 1).
pub(crate) fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Sorts versions as people count: 6.1.0-9 before 6.1.0-13.
pub(crate) fn version_key(version: &str) -> Vec<(u64, String)> {
    let mut key = Vec::new();
    let mut rest = version;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let text = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        key.push((rest[..digits].parse().unwrap_or(0), rest[digits..digits + text].to_owned()));
        rest = &rest[digits + text..];
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(id: &str, like: &[&str], version: &str) -> Os {
        let id_like = like.iter().map(ToString::to_string).collect();
        Os { id: id.into(), id_like, version_id: version.into(), pretty_name: String::new() }
    }

    #[test]
    fn rebuilds_count_as_rhel_and_unknown_systems_as_old() {
        let rocky = os("rocky", &["rhel", "centos", "fedora"], "9.4");
        assert!(
            is_redhat(&rocky) && is_at_least(&rocky, &[("rhel", 9)]) && !is_at_least(&rocky, &[("rhel", 10)])
        );
        assert!(is_at_least(&os("debian", &[], "12"), &[("rhel", 9), ("debian", 11)]));
        assert!(!is_at_least(
            &os("linuxmint", &["ubuntu", "debian"], "21"),
            &[("ubuntu", 20), ("debian", 11)]
        ));
        assert!(!is_at_least(&os("arch", &[], ""), &[("debian", 11)]));
        assert!(!is_redhat(&os("debian", &[], "12")) && is_debian(&os("debian", &[], "12")));
        assert!(is_debian(&os("linuxmint", &["ubuntu", "debian"], "21")) && !is_debian(&rocky));
    }

    #[test]
    fn versions_sort_as_people_count() {
        let mut versions = ["6.1.0-13-amd64", "6.1.0-9-amd64", "5.14.0-503.el9", "6.10.1"];
        versions.sort_by_key(|version| version_key(version));
        assert_eq!(versions, ["5.14.0-503.el9", "6.1.0-9-amd64", "6.1.0-13-amd64", "6.10.1"]);
        assert_eq!(major_minor("6.1.0-13-cloud-amd64"), Some((6, 1)));
        assert_eq!(major_minor("six"), None);
    }
}
