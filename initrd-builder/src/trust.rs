//! What may not go into an initrd: it is served to anybody on the provisioning network, so secrets stay out.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Where the trust anchors lie in the initrd.
pub const PATH: &str = "/etc/camphor/trust.json";

/// How private keys begin or call themselves: PEM, OpenSSH, minisign (its text form, and the base64 of "Ed" "Sc" "B2").
const PRIVATE: &[&str] = &["PRIVATE KEY-----", "encrypted secret key", "minisign secret key", "RWRTY0Iy"];

/// Reads the trust anchors; refuses what is no JSON object, or holds anything private.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    check(&bytes).with_context(|| format!("checking the trust anchors in {}", path.display()))?;
    Ok(bytes)
}

/// Refuses bytes that look like a private key.
pub fn refuse_private(bytes: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(bytes);
    if let Some(sign) = PRIVATE.iter().find(|sign| text.contains(**sign)) {
        bail!("this looks like a private key ({sign:?}); an initrd is readable by anybody on the network");
    }
    Ok(())
}

fn check(bytes: &[u8]) -> Result<()> {
    refuse_private(bytes)?;
    let value: Value = serde_json::from_slice(bytes).context("reading it as JSON")?;
    if !value.is_object() {
        bail!("it is no JSON object");
    }
    match private_field(&value) {
        Some(name) => bail!("field {name:?} sounds private: only public parts belong into an initrd"),
        None => Ok(()),
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
}
