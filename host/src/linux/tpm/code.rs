//! Why a TPM refuses a command (*TPM 2.0 Library*, part 2, 6.6), for people.

use std::fmt;

/// A response code that is not TPM_RC_SUCCESS.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The command.
    pub command: &'static str,
    /// TPM_RC
    pub code: u32,
}

/// Codes of format 1 say in these bits which handle, session or parameter is meant.
const FORMAT_1: u32 = 0x080;
const WHICH: u32 = 0xf40;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, code } = self;
        let advice = match if code & FORMAT_1 == 0 { *code } else { code & !WHICH } {
            0x08e | 0x0a2 => {
                ": its endorsement hierarchy has a password: clear the TPM in the firmware's set-up"
            }
            0x085 => ": its endorsement hierarchy is switched off: switch it on in the firmware's set-up",
            0x09f => ": it was wrapped for another TPM, or for another boot of this one",
            0x0a6 => ": it has no keys on the curve P-256",
            0x100 | 0x101 => ": it is not in order: switch the machine off and on, and look for new firmware",
            0x120 | 0x121 => ": it is switched off: switch it on in the firmware's set-up",
            0x921 => ": it is locked after wrong passwords: wait, or clear it in the firmware's set-up",
            _ => "",
        };
        write!(f, "the TPM refused {command} with {code:#05x}{advice}")
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_with_and_without_what_is_meant() {
        let said = |code| Refused { command: "TPM2_X", code }.to_string();
        assert!(
            said(0x9a2)
                .starts_with("the TPM refused TPM2_X with 0x9a2: its endorsement hierarchy has a password")
        );
        assert!(said(0x1df).contains("wrapped for another TPM"));
        assert!(said(0x921).contains("locked"));
        assert_eq!(said(0x143), "the TPM refused TPM2_X with 0x143");
    }
}
