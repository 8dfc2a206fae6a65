//! What must be so whatever a node's program is started with. host's tests have this module, too, and do the same with the
//! seeds.

use host::cmdline::Options;

/// The kernel's command line: only plain URLs and whole MAC addresses come out of it.
pub fn cmdline(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let options = Options::parse(&text);
    assert!(options.head.iter().all(|head| head.len() > 7 && head.starts_with("http://")));
    if let Some(mac) = &options.boot_mac {
        assert!(mac.len() == 17 && mac.chars().all(|c| c == ':' || c.is_ascii_hexdigit()), "{mac}");
        assert_eq!(*mac, mac.to_lowercase());
    }
    // An error is a sentence, and says which argument.
    if let Err(error) = options.kusu() {
        assert!(format!("{error:#}").contains("kernel command line"), "{error:#}");
    }
}

#[cfg(test)]
#[path = "corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_or_refused() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/cmdline");
        let seeds =
            std::fs::read_dir(&folder).unwrap().map(|seed| std::fs::read(seed.unwrap().path()).unwrap());
        assert!(seeds.inspect(|seed| cmdline(seed)).count() >= 3, "{}", folder.display());
        corpus::inputs("cmdline").iter().for_each(|input| cmdline(input));
    }
}
