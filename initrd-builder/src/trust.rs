//! What may not go into an initrd: it is served to anybody on the provisioning network, so secrets stay out.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64ct::{Base64, Encoding as _};
use nii::trust::KusuHost;
use serde_json::{Map, Value};

/// Where the trust anchors lie in the initrd.
pub const PATH: &str = "/etc/camphor/trust.json";

/// How private keys begin or call themselves: PEM, OpenSSH, minisign (its text form, and the base64 of "Ed" "Sc" "B2").
const PRIVATE: &[&str] = &["PRIVATE KEY-----", "encrypted secret key", "minisign secret key", "RWRTY0Iy"];

/// Where they name the head nodes that are obeyed without a signature: `nii::trust::Trust` has the field.
const ALLOW_KUSU: &str = "allow_kusu";

/// Reads the trust anchors and adds the Kusu head nodes that are to be obeyed; refuses what is no JSON object, or holds
/// anything private.
pub fn read(path: &Path, kusu: &[String]) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let what = || format!("checking the trust anchors in {}", path.display());
    let anchors = check(&bytes).with_context(what)?;
    if kusu.is_empty() {
        return Ok(bytes);
    }
    allow(anchors, kusu).with_context(what)
}

fn allow(mut anchors: Map<String, Value>, kusu: &[String]) -> Result<Vec<u8>> {
    for host in kusu {
        host.parse::<KusuHost>().with_context(|| format!("reading --allow-kusu {host}"))?;
    }
    let hosts = anchors.entry(ALLOW_KUSU).or_insert_with(|| Value::Array(Vec::new()));
    let hosts = hosts.as_array_mut().with_context(|| format!("{ALLOW_KUSU} is no list"))?;
    hosts.extend(kusu.iter().map(|host| Value::String(host.clone())));
    Ok(serde_json::to_vec(&anchors)?)
}

/// Refuses bytes that look like a private key.
pub fn refuse_private(bytes: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(bytes);
    if let Some(sign) = PRIVATE.iter().find(|sign| text.contains(**sign)) {
        bail!("this looks like a private key ({sign:?}); an initrd is readable by anybody on the network");
    }
    if is_seed(text.trim()) {
        bail!(
            "this looks like a private key (nothing but 32 bytes in base64, as a head node and WireGuard keep theirs); \
             an initrd is readable by anybody on the network"
        );
    }
    Ok(())
}

/// Whether that is all there is.
fn is_seed(text: &str) -> bool {
    matches!(Base64::decode_vec(text), Ok(bytes) if bytes.len() == 32)
}

fn check(bytes: &[u8]) -> Result<Map<String, Value>> {
    refuse_private(bytes)?;
    let value: Value = serde_json::from_slice(bytes).context("reading it as JSON")?;
    if let Some(name) = private_field(&value) {
        bail!("field {name:?} sounds private: only public parts belong into an initrd");
    }
    match value {
        Value::Object(fields) => Ok(fields),
        _ => bail!("it is no JSON object"),
    }
}

fn private_field(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let lower = name.to_ascii_lowercase();
            let private = ["secret", "private", "password", "token"].iter().any(|word| lower.contains(word));
            if private { Some(name.as_str()) } else { private_field(value) }
        }),
        Value::Array(items) => items.iter().find_map(private_field),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use nii::trust::Trust;

    use super::*;

    #[test]
    fn public_parts_pass_and_private_ones_do_not() {
        let public = r#"{"root_keys":["AAAA"],"ca_pem":"-----BEGIN CERTIFICATE-----\n","time_floor":1}"#;
        check(public.as_bytes()).unwrap();
        let refused = [
            (r#"{"ca":"-----BEGIN PRIVATE KEY-----\n"}"#, "private key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
            ("untrusted comment: minisign encrypted secret key\nRWRTY0Iyxx", "private key"),
            ("q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=\n", "private key (nothing but 32 bytes"),
            (r#"{"keys":[{"signing_SECRET":"abc"}]}"#, "\"signing_SECRET\" sounds private"),
            ("[]", "no JSON object"),
            ("hello", "as JSON"),
        ];
        for (text, why) in refused {
            let error = format!("{:#}", check(text.as_bytes()).unwrap_err());
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("abc"), "the secret itself is not shown");
        }
    }

    #[test]
    fn kusu_hosts_are_added_and_checked() {
        let anchors = || check(br#"{"time_floor":1,"allow_kusu":["a"]}"#).unwrap();
        let text = allow(anchors(), &["10.1.0.1".into(), "[fd00::1]".into()]).unwrap();
        assert_eq!(text, br#"{"allow_kusu":["a","10.1.0.1","[fd00::1]"],"time_floor":1}"#);
        for bad in ["http://kusu", "kusu/repos", "", "a b"] {
            let error = format!("{:#}", allow(anchors(), &[bad.into()]).unwrap_err());
            assert!(error.contains("is no host name or address"), "{error}");
        }
    }

    /// What is written here is what a node reads: the real type, and what it allows.
    #[test]
    fn nodes_obey_who_was_named_and_nobody_else() {
        let anchors = Trust {
            root_keys: vec![],
            image_keys: vec![],
            ca_pem: "pem".into(),
            time_floor: 7,
            certified_since: 0,
            allow_kusu: vec![],
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        serde_json::to_writer(&file, &anchors).unwrap();
        let named = ["10.1.0.1".to_owned(), "kusu.example:8000".into(), "[fd00::1]".into(), "fd00::2".into()];
        let trust: Trust = serde_json::from_slice(&read(file.path(), &named).unwrap()).unwrap();
        assert_eq!(trust, Trust { allow_kusu: named.to_vec(), ..anchors.clone() });
        let allows = |host: &str| trust.allows_kusu(&host.parse().unwrap());
        for host in
            ["10.1.0.1", "10.1.0.1:8000", "kusu.example:8000", "[fd00::1]:8000", "fd00::1", "[fd00::2]"]
        {
            assert!(allows(host), "{host}");
        }
        for host in ["10.1.0.2", "kusu.example", "[fd00::3]", "fd00"] {
            assert!(!allows(host), "{host}");
        }
        let none: Trust = serde_json::from_slice(&read(file.path(), &[]).unwrap()).unwrap();
        assert_eq!(none, anchors);
    }
}
