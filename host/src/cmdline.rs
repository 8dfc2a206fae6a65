//! The kernel command line, as far as it speaks to camphor (`docs/imageinit.md`, `docs/installer.md`).

use anyhow::{Result, bail};

use crate::kusu;

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `camphor.head=URL`: base URL of the head node's plain side.
    pub head: Option<String>,
    /// `camphor.nii=kusu+http://HOST/…`: the NII comes from an old Kusu head node.
    pub nii: Option<String>,
    /// `niihost=IP[,IP]`: the same in Kusu's own words.
    pub niihost: Option<String>,
    /// `BOOTIF=01-aa-bb-…` (from the boot script): MAC address of the boot interface, lower case with colons.
    pub boot_mac: Option<String>,
    /// `camphor.tpm` (from the boot script): the session's key is for this machine's TPM.
    pub tpm: bool,
    /// `camphor.token=ask` (signed, within a UKI): the token is asked for, where the initrd has none.
    pub ask_token: bool,
    /// `camphor.debug`: every op on the console.
    pub debug: bool,
    /// `camphor.shell`: a shell on the console before anything is done.
    pub shell: bool,
    /// What is not understood, in sentences.
    pub warnings: Vec<String>,
}

impl Options {
    /// Reads the text of /proc/cmdline.
    pub fn parse(text: &str) -> Self {
        let mut options = Self::default();
        for word in words(text) {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (word.as_str(), None),
            };
            options.take(key, value);
        }
        options
    }

    /// The Kusu head node, if the NII comes from one. Beside `camphor.head` Kusu's own `niihost=` means nothing.
    ///
    /// # Errors
    /// An argument of another form, or both head nodes at once.
    pub fn kusu(&self) -> Result<Option<kusu::Source>> {
        match (&self.head, &self.nii) {
            (Some(head), Some(nii)) => bail!(
                "the kernel command line names two head nodes, camphor.head={head} and camphor.nii={nii}: leave out one"
            ),
            (Some(_), None) => Ok(None),
            (None, nii) => kusu::Source::parse(nii.as_deref(), self.niihost.as_deref()),
        }
    }

    fn take(&mut self, key: &str, value: Option<&str>) {
        match (key, value) {
            ("camphor.head", Some(url)) if is_plain_http(url) => {
                self.head = Some(url.trim_end_matches('/').to_owned());
            }
            ("camphor.head", value) => {
                let value = value.unwrap_or_default();
                self.warnings.push(format!("camphor.head={value} is not an http:// URL and is ignored"));
            }
            ("camphor.nii", Some(value)) => self.nii = Some(value.to_owned()),
            ("niihost", Some(value)) => self.niihost = Some(value.to_owned()),
            ("BOOTIF", Some(value)) => match boot_mac(value) {
                Some(mac) => self.boot_mac = Some(mac),
                None => self.warnings.push(format!("BOOTIF={value} is no Ethernet address and is ignored")),
            },
            ("camphor.tpm", None) => self.tpm = true,
            ("camphor.token", Some("ask")) => self.ask_token = true,
            ("camphor.debug", None) => self.debug = true,
            ("camphor.shell", None) => self.shell = true,
            (key, _) if key.starts_with("camphor.") => {
                self.warnings.push(format!("{key} on the kernel command line is not known and is ignored"));
            }
            _ => {}
        }
    }
}

/// Whether it is one, with a host.
fn is_plain_http(url: &str) -> bool {
    url.strip_prefix("http://")
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']))
}

/// Splits as the kernel does (lib/cmdline.c, next_arg): blanks separate, double quotes keep them, and quotes around a
/// whole word or a whole value go away.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for char in text.chars() {
        match char {
            '"' => quoted = !quoted,
            char if char.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            char => word.push(char),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// `01-aa-bb-cc-dd-ee-ff`: the hardware type and the address, as PXELINUX wrote it first.
fn boot_mac(value: &str) -> Option<String> {
    let address =
        value.strip_prefix("01-").or_else(|| value.strip_prefix("01:"))?.replace('-', ":").to_lowercase();
    let bytes: Vec<&str> = address.split(':').collect();
    let hex = |byte: &&str| byte.len() == 2 && byte.chars().all(|char| char.is_ascii_hexdigit());
    (bytes.len() == 6 && bytes.iter().all(hex)).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_boot_script_writes() {
        let text = "initrd=initrd.img camphor.head=http://10.1.0.1:8080/ BOOTIF=01-52-54-00-AA-bb-01 \
                    console=tty0 console=ttyS0,115200n8 quiet camphor.tpm camphor.token=ask camphor.debug\n";
        let options = Options::parse(text);
        assert_eq!(options.head.as_deref(), Some("http://10.1.0.1:8080"));
        assert_eq!(options.boot_mac.as_deref(), Some("52:54:00:aa:bb:01"));
        assert!(
            options.debug
                && options.tpm
                && options.ask_token
                && !options.shell
                && options.warnings.is_empty()
        );
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let options = Options::parse("camphor.haed=x camphor.head=ftp://x BOOTIF=52:54 camphor.nii=\"a b\"");
        assert_eq!(options.warnings.len(), 3, "{:?}", options.warnings);
        assert_eq!(options.head, None);
        for url in ["http://", "http:///nodes", "http://:8080"] {
            let options = Options::parse(&format!("camphor.head={url}"));
            assert_eq!((options.head, options.warnings.len()), (None, 1), "{url}");
        }
        let error = format!("{:#}", options.kusu().unwrap_err());
        assert!(error.contains("camphor.nii=a b") && error.contains("kusu+http://"), "{error}");
    }

    #[test]
    fn a_kusu_head_node_is_asked_only_without_ones_own() {
        let source = |text: &str| Options::parse(text).kusu();
        assert!(source("niihost=10.1.0.1,10.2.0.1").unwrap().is_some());
        assert!(source("camphor.nii=kusu+http://10.1.0.1/").unwrap().is_some());
        assert!(source("camphor.head=http://10.1.0.1:8080 niihost=10.1.0.1").unwrap().is_none());
        let both = source("camphor.head=http://10.1.0.1:8080 camphor.nii=kusu+http://10.1.0.1/").unwrap_err();
        assert!(both.to_string().contains("two head nodes"), "{both}");
        assert!(source("quiet").unwrap().is_none());
    }

    #[test]
    fn quotes_are_the_kernels() {
        assert_eq!(words("a=\"b c\" \"d e=f\"  g"), ["a=b c", "d e=f", "g"]);
    }
}
