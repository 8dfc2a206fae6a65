//! What may not go into an initrd: it is served to anybody on the provisioning network, so secrets stay out.

use std::path::Path;

use anyhow::{Context, Result, bail};
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
    if let Some(bad) = kusu.iter().find(|host| !is_host(host)) {
        bail!("--allow-kusu {bad}: a host name or an address is wanted, without http:// and path");
    }
    let hosts = anchors.entry(ALLOW_KUSU).or_insert_with(|| Value::Array(Vec::new()));
    let hosts = hosts.as_array_mut().with_context(|| format!("{ALLOW_KUSU} is no list"))?;
    hosts.extend(kusu.iter().map(|host| Value::String(host.clone())));
    Ok(serde_json::to_vec(&anchors)?)
}

fn is_host(text: &str) -> bool {
    let host = |char: char| char.is_ascii_alphanumeric() || ".-:[]".contains(char);
    !text.is_empty() && text.chars().all(host)
}

/// Refuses bytes that look like a private key.
pub fn refuse_private(bytes: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(bytes);
    if let Some(sign) = PRIVATE.iter().find(|sign| text.contains(**sign)) {
        bail!("this looks like a private key ({sign:?}); an initrd is readable by anybody on the network");
    }
    Ok(())
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
    use super::*;

    #[test]
    fn public_parts_pass_and_private_ones_do_not() {
        let public = r#"{"root_keys":["AAAA"],"ca_pem":"-----BEGIN CERTIFICATE-----\n","time_floor":1}"#;
        check(public.as_bytes()).unwrap();
        let refused = [
            (r#"{"ca":"-----BEGIN PRIVATE KEY-----\n"}"#, "private key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
            ("untrusted comment: minisign encrypted secret key\nRWRTY0Iyxx", "private key"),
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
            let error = allow(anchors(), &[bad.into()]).unwrap_err().to_string();
            assert!(error.contains("a host name or an address is wanted"), "{error}");
        }
    }
}
