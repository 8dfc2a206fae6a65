//! What must not be in an image: all nodes get it, and so does whoever can reach the head node's plain HTTP side.
//!
//! [`RULES`] say where secrets are, how one is told from a file without, and whether the file is made anew by itself
//! (then it is left out) or not (then the import is refused, unless the admin says what is to become of it). To know of
//! one more: a rule. Contents are looked at and never shown.

use std::fmt;

use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};

/// How much of a file is looked at.
pub(super) const LOOK_MAX: usize = 1 << 20;

/// A secret of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Secret {
    /// The file.
    pub path: String,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// What is to become of an archive's member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is no secret.
    Keep,
    /// It is one, and the admin wants it.
    Allow,
    /// It is left out.
    Strip,
    /// It stays, and no password of it opens anything.
    Blank,
    /// The import is refused.
    Refuse,
}

pub(super) struct Rule {
    pub what: &'static str,
    told_by: fn(&[u8]) -> bool,
    fate: Fate,
    paths: &'static [&'static str],
}

impl Rule {
    pub fn all() -> Vec<&'static Self> {
        RULES.iter().collect()
    }
}

static RULES: &[Rule] = &[
    Rule {
        what: "an SSH host key",
        told_by: anything,
        fate: Fate::Strip,
        paths: &["etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_*_key.pub"],
    },
    Rule {
        what: "the id of one machine",
        told_by: anything,
        fate: Fate::Strip,
        paths: &["etc/machine-id", "var/lib/dbus/machine-id"],
    },
    Rule {
        what: "the seed of random numbers",
        told_by: anything,
        fate: Fate::Strip,
        paths: &[
            "var/lib/systemd/random-seed",
            "var/lib/urandom/random-seed",
            "var/lib/random-seed",
            "boot/**/random-seed",
        ],
    },
    Rule {
        what: "the key of systemd's credentials",
        told_by: anything,
        fate: Fate::Strip,
        paths: &["var/lib/systemd/credential.secret"],
    },
    Rule {
        what: "what somebody typed",
        told_by: anything,
        fate: Fate::Strip,
        paths: &[
            "root/.*_history",
            "home/*/.*_history",
            "root/.lesshst",
            "home/*/.lesshst",
            "root/.viminfo",
            "home/*/.viminfo",
        ],
    },
    Rule {
        what: "a password's hash",
        told_by: has_hash,
        fate: Fate::Blank,
        // Also what shadow-utils, dpkg, rpm, editors and nightly jobs leave beside them.
        paths: &[
            "etc/shadow*",
            "etc/gshadow*",
            "etc/passwd*",
            "var/backups/shadow*",
            "var/backups/gshadow*",
            "var/backups/passwd*",
        ],
    },
    Rule {
        what: "hashes of earlier passwords",
        told_by: has_line,
        fate: Fate::Refuse,
        paths: &["etc/security/opasswd*", "var/backups/opasswd*"],
    },
    Rule {
        what: "a password of a kickstart",
        told_by: has_kickstart_password,
        fate: Fate::Refuse,
        paths: &["root/*.cfg", "root/*.ks"],
    },
    Rule {
        what: "a private key",
        told_by: has_private_key,
        fate: Fate::Refuse,
        paths: &["etc/**/*", "root/**/*", "home/**/*", "opt/**/*", "srv/**/*", "var/**/*"],
    },
    Rule {
        what: "a private key",
        told_by: anything,
        fate: Fate::Refuse,
        paths: &[
            "**/private-keys-v1.d/*",
            "**/.gnupg/secring.gpg",
            "etc/**/*.p12",
            "etc/**/*.pfx",
            "etc/dropbear*/**/*_host_key",
        ],
    },
    Rule {
        what: "a key or the store of camphor's own head node",
        told_by: anything,
        fate: Fate::Refuse,
        paths: &["var/lib/camphor/keys/*", "var/lib/camphor/camphor.db*"],
    },
    Rule {
        what: "a Kerberos keytab",
        told_by: anything,
        fate: Fate::Refuse,
        paths: &["etc/**/*.keytab", "root/**/*.keytab", "home/**/*.keytab", "var/**/*.keytab"],
    },
    Rule {
        what: "data of cloud-init",
        told_by: anything,
        fate: Fate::Refuse,
        paths: &["var/lib/cloud/seed/**/*", "var/lib/cloud/instances/**/*"],
    },
    Rule {
        what: "a password or a key of a network or a service",
        told_by: has_setting,
        fate: Fate::Refuse,
        paths: &[
            "etc/NetworkManager/system-connections/*",
            "etc/wpa_supplicant/**/*",
            "etc/wpa_supplicant.conf",
            "etc/netplan/*",
            "etc/wireguard/*",
            "etc/sysconfig/network-scripts/*",
            "var/lib/iwd/*",
            "etc/cloud/**/*",
            "etc/sssd/**/*",
            "var/log/installer/**/*",
        ],
    },
    Rule {
        what: "secrets of network peers",
        told_by: has_line,
        fate: Fate::Refuse,
        paths: &["etc/ppp/*-secrets", "etc/ipsec.secrets"],
    },
    Rule {
        what: "a key that machines share",
        told_by: anything,
        fate: Fate::Refuse,
        paths: &[
            "etc/munge/munge.key",
            "etc/rndc.key",
            "etc/bind/rndc.key",
            "etc/corosync/authkey",
            "var/lib/samba/private/*.tdb",
        ],
    },
    Rule {
        what: "somebody's credentials",
        told_by: anything,
        fate: Fate::Refuse,
        paths: &[
            "root/.netrc",
            "home/*/.netrc",
            "root/.pgpass",
            "home/*/.pgpass",
            "root/.git-credentials",
            "home/*/.git-credentials",
            "root/.aws/credentials",
            "home/*/.aws/credentials",
            "root/.docker/config.json",
            "home/*/.docker/config.json",
            "root/.kube/config",
            "home/*/.kube/config",
            "root/.vault-token",
            "home/*/.vault-token",
        ],
    },
];

/// Where systems of other layouts (ostree, `/usr/local`) have what [`RULES`] know at its usual place.
const ELSEWHERE: [(&str, &str); 4] =
    [("usr/etc/", "etc/"), ("usr/local/etc/", "etc/"), ("var/home/", "home/"), ("var/roothome/", "root/")];

/// How crypt(5) marks hashes by their method, and the least that is behind a mark: 22 characters of MD5.
const HASHES: [&[u8]; 10] =
    [b"$1$", b"$2a$", b"$2b$", b"$2y$", b"$5$", b"$6$", b"$7$", b"$y$", b"$gy$", b"$sha1$"];
const HASH_MIN: usize = 22;

/// Keys of settings whose values are secret: NetworkManager, wpa_supplicant, netplan, WireGuard, iwd, cloud-init, sssd.
const SETTINGS: [&str; 17] = [
    "psk",
    "password",
    "passwd",
    "hashed_passwd",
    "plain_text_passwd",
    "private_key_passwd",
    "private-key-password",
    "private-key",
    "privatekey",
    "preshared-key",
    "presharedkey",
    "passphrase",
    "secret",
    "leap-password",
    "wep_key0",
    "wep-key0",
    "ldap_default_authtok",
];

fn anything(_: &[u8]) -> bool {
    true
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii)
}

/// How the first and the last line of a private key end.
const KEY_END: &[u8] = b"PRIVATE KEY-----";

/// PEM (RFC 7468), OpenSSH's and OpenPGP's armour of private keys, encrypted or not.
fn has_private_key(bytes: &[u8]) -> bool {
    let ends = [KEY_END, b"PRIVATE KEY BLOCK-----"];
    let is_one = |line: &[u8]| line.starts_with(b"-----BEGIN ") && ends.iter().any(|end| line.ends_with(end));
    lines(bytes).any(|line| is_one(line) || line.starts_with(b"PuTTY-User-Key-File-"))
}

/// The second field of a line of shadow(5), if a password could be found by it: also that of a locked account, with `!`
/// before it.
fn hash(line: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = line.iter().position(|&byte| byte == b':')? + 1;
    let end = start + line[start..].iter().position(|&byte| byte == b':').unwrap_or(line.len() - start);
    let is_none = matches!(&line[start..end], b"x" | b"NP" | b"LK")
        || line[start..end].iter().all(|byte| b"!*".contains(byte));
    (!is_none).then_some(start..end)
}

fn has_hash(bytes: &[u8]) -> bool {
    bytes.split(|&byte| byte == b'\n').any(|line| hash(line).is_some())
}

/// Puts what no password fits in the place of each hash; the length stays.
pub(super) fn blank(bytes: &mut [u8]) {
    for line in bytes.split_mut(|&byte| byte == b'\n') {
        if let Some(hash) = hash(line) {
            line[hash].fill(b'!');
        }
    }
}

fn has_kickstart_password(bytes: &[u8]) -> bool {
    lines(bytes).any(|line| {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        match words.next() {
            Some(b"rootpw") => words.any(|word| !word.starts_with(b"--")),
            Some(b"user" | b"bootloader" | b"part" | b"logvol" | b"raid" | b"autopart") => {
                words.any(|word| word.starts_with(b"--password") || word.starts_with(b"--passphrase"))
            }
            _ => false,
        }
    })
}

/// `key = value` and `key: value`, also several in a line, as flow style and escaped text of YAML have them, and hashes
/// and keys wherever they are. The path of a file is not the secret.
fn has_setting(bytes: &[u8]) -> bool {
    let is_setting = |text: &str| {
        let Some((key, value)) = text.split_once(['=', ':']) else { return false };
        let key = key.trim().trim_start_matches("- ").trim_matches(['"', '\'']).to_ascii_lowercase();
        let value = value.trim().trim_matches(['"', '\'']);
        let is_path = value.starts_with('/') || value.starts_with("file:");
        SETTINGS.contains(&key.as_str()) && !value.is_empty() && !is_path
    };
    let mut settings = lines(bytes).filter(|line| !line.starts_with(b"#")).map(String::from_utf8_lossy);
    settings.any(|line| line.replace("\\n", "{").split(['{', ',']).any(is_setting))
        || has_password_list(bytes)
        || has_crypt(bytes)
        || bytes.windows(KEY_END.len()).any(|window| window == KEY_END)
}

/// The `list` of cloud-init's `chpasswd`: lines of `USER:PASSWORD`, in whatever form YAML has for them.
fn has_password_list(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).replace("\\n", "\n");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(['{', ',']));
    let keys: Vec<&str> =
        words.filter_map(|word| Some(word.split_once(':')?.0.trim().trim_matches(['"', '\'']))).collect();
    keys.contains(&"chpasswd") && keys.contains(&"list")
}

/// A hash of crypt(5), at any place.
fn has_crypt(bytes: &[u8]) -> bool {
    let is_hash = |rest: &[u8]| {
        let of_hash = |byte: &u8| byte.is_ascii_alphanumeric() || b"./$=,".contains(byte);
        HASHES.iter().any(|mark| rest.starts_with(mark))
            && rest.iter().take_while(|byte| of_hash(byte)).take(HASH_MIN).count() == HASH_MIN
    };
    (0..bytes.len()).any(|at| bytes[at] == b'$' && is_hash(&bytes[at..]))
}

/// More than comments.
fn has_line(bytes: &[u8]) -> bool {
    lines(bytes).any(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// The rules, ready, and what was found.
pub(super) struct Sieve<'a> {
    rules: Vec<(Pattern, &'static Rule)>,
    allow: &'a [String],
    strip: bool,
}

impl<'a> Sieve<'a> {
    /// `allow`: paths of secrets that are wanted. `strip`: what would be refused is left out, too.
    pub fn new(allow: &'a [String], strip: bool) -> Self {
        let ready = |rule: &'static Rule| {
            rule.paths.iter().filter_map(move |path| Some((Pattern::new(path).ok()?, rule)))
        };
        Self { rules: RULES.iter().flat_map(ready).collect(), allow, strip }
    }

    /// The rules about a path. Only if there are any is its content looked at.
    pub fn about(&self, path: &str) -> Vec<&'static Rule> {
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
        let usual =
            ELSEWHERE.iter().find_map(|(here, usual)| Some(format!("{usual}{}", path.strip_prefix(here)?)));
        let names = [Some(path), usual.as_deref()];
        let is_one =
            |pattern: &Pattern| names.iter().flatten().any(|path| pattern.matches_with(path, options));
        self.rules.iter().filter(|(pattern, _)| is_one(pattern)).map(|(_, rule)| *rule).collect()
    }

    /// Whether the admin wants the file, whatever is in it.
    pub fn allows(&self, path: &str) -> bool {
        self.allow.iter().any(|allowed| allowed.trim_start_matches('/') == path)
    }

    /// What is to become of the file, and what it is.
    pub fn judge(&self, path: &str, about: &[&'static Rule], content: &[u8]) -> (Fate, &'static str) {
        let Some(rule) = about.iter().find(|rule| (rule.told_by)(content)) else { return (Fate::Keep, "") };
        let fate = match rule.fate {
            _ if self.allows(path) => Fate::Allow,
            Fate::Refuse if self.strip => Fate::Strip,
            Fate::Blank if !self.strip => Fate::Refuse,
            fate => fate,
        };
        (fate, rule.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, content: &str) -> Option<&'static str> {
        let sieve = Sieve::new(&[], false);
        let (fate, what) = sieve.judge(path, &sieve.about(path), content.as_bytes());
        (fate != Fate::Keep).then_some(what)
    }

    #[test]
    fn every_pattern_is_one() {
        let sieve = Sieve::new(&[], false);
        assert_eq!(sieve.rules.len(), RULES.iter().map(|rule| rule.paths.len()).sum::<usize>());
    }

    #[test]
    fn trust_secrets_are_told_from_files_without() {
        for (path, secret, plain) in [
            ("etc/shadow", "root:$6$salt$hash:1::::::\n", "root:*:1::::::\ndaemon:!:1\nx:!!:\ny::1\n"),
            ("etc/shadow-", "root:!$y$j9T$x:1\n", "root:!*:1\n"),
            ("etc/passwd", "root:rqXexS6ZhobKA:0:0::/:\n", "root:x:0:0::/:\n"),
            ("root/anaconda-ks.cfg", "rootpw --iscrypted $6$x\n", "rootpw --lock\nuser --name=a\n"),
            ("etc/pki/tls/private/a.key", "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\n"),
            ("home/ann/.ssh/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "ssh-rsa PRIVATE KEY-----\n"),
            ("etc/NetworkManager/system-connections/a", "[wifi-security]\npsk=x y\n", "psk-flags=1\npsk=\n"),
            ("etc/NetworkManager/system-connections/b", "private-key=AA==\n", "private-key=/etc/a.pem\n"),
            ("etc/wpa_supplicant/wpa.conf", "network={\n\tpsk=\"abc\"\n}\n", "network={\nkey_mgmt=NONE\n}\n"),
            ("etc/netplan/a.yaml", "auth:\n  password: \"x\"\n", "network:\n  version: 2\n"),
            (
                "etc/cloud/cloud.cfg.d/a.cfg",
                "  - hashed_passwd: $6$x\n",
                "lock_passwd: True\nssh_pwauth: false\n",
            ),
            ("etc/ppp/chap-secrets", "a b c *\n", "# secrets\n\n"),
            ("etc/security/opasswd", "ann:1000:1:$6$a$b\n", "\n"),
            ("usr/etc/shadow", "root:$6$salt$hash:1::::::\n", "root:*:1::::::\n"),
            ("var/roothome/.ssh/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "ssh-rsa A\n"),
        ] {
            assert!(found(path, secret).is_some(), "{path}");
            assert_eq!(found(path, plain), None, "{path}");
        }
    }

    #[test]
    fn places_are_the_usual_ones() {
        for path in [
            "etc/ssh/ssh_host_ed25519_key",
            "etc/machine-id",
            "var/lib/systemd/random-seed",
            "root/.bash_history",
            "home/ann/.zsh_history",
            "etc/krb5.keytab",
            "etc/httpd/http.keytab",
            "var/lib/cloud/seed/nocloud/user-data",
            "etc/munge/munge.key",
            "root/.gnupg/private-keys-v1.d/A.key",
            "root/.aws/credentials",
            "etc/dropbear/dropbear_rsa_host_key",
            "var/home/ann/.zsh_history",
        ] {
            assert!(found(path, "x").is_some(), "{path}");
        }
        for path in ["etc/ssh/sshd_config", "usr/share/doc/x/ssh_host_rsa_key", "etc/hosts", "root/.bashrc"] {
            assert_eq!(found(path, "x"), None, "{path}");
        }
        let key = "-----BEGIN PRIVATE KEY-----\n";
        assert_eq!(found("usr/share/doc/openssl/key.pem", key), None, "what packages show is public");
    }

    #[test]
    fn trust_copies_of_shadow_are_found() {
        for path in [
            "etc/shadow.bak",
            "etc/shadow.rpmsave",
            "etc/gshadow.rpmnew",
            "etc/shadow~",
            "etc/gshadow+",
            "etc/passwd.orig",
            "var/backups/shadow.bak",
            "var/backups/gshadow.bak",
            "var/backups/passwd.bak",
            "usr/local/etc/shadow-",
        ] {
            assert!(found(path, "root:$6$salt$hash:1:").is_some(), "{path}");
            assert_eq!(found(path, "root:x:0:"), None, "{path}");
        }
    }

    #[test]
    fn trust_settings_are_found_within_a_line() {
        let hash = "$6$salt$rqXexS6ZhobKArqXexS6ZhobKA";
        for text in [
            "system_info: {default_user: {name: a, plain_text_passwd: b}}\n".to_owned(),
            r##"userdata_raw: "#cloud-config\npassword: abc\n""##.to_owned(),
            format!("late: [\"usermod -p '{hash}' ann\"]\n"),
            r#"key: "-----BEGIN RSA PRIVATE KEY-----\nMII""#.to_owned(),
            "chpasswd:\n  expire: false\n  list: |\n    root:geheim\n".to_owned(),
            "chpasswd:\n  list:\n    - root:geheim\n".to_owned(),
            "{\"chpasswd\": {\"list\": \"root:geheim\"}}\n".to_owned(),
            r##"userdata_raw: "#cloud-config\nchpasswd:\n  list: |\n    root:geheim\n""##.to_owned(),
        ] {
            for path in ["etc/cloud/cloud.cfg.d/99-installer.cfg", "var/log/installer/autoinstall-user-data"]
            {
                assert!(found(path, &text).is_some(), "{path}: {text}");
            }
        }
        for text in [
            "# {a: b, password: c}\n",
            "sed \"s/$1$2/$6$7/\"\n",
            "passwd: {}, lock_passwd: true\n",
            "# chpasswd:\nlist: a\n",
        ] {
            assert_eq!(found("etc/cloud/cloud.cfg", text), None, "{text}");
        }
    }

    #[test]
    fn blanked_hashes_open_nothing() {
        let mut text = b"root:$6$a:1:::\nbin:*:2\nann:!$6$b".to_vec();
        blank(&mut text);
        assert_eq!(text, b"root:!!!!:1:::\nbin:*:2\nann:!!!!!");
        assert!(!has_hash(&text));
    }
}
