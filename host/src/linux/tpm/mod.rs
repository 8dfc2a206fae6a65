//! The machine's TPM 2.0: shows what it is known by, and unwraps what was wrapped for it. Four commands of *TPM 2.0 Library*,
//! part 3, spoken to the kernel's resource manager; no daemon, no library. Nothing is kept in the chip.
//!
//! * [`command`]: one command and its answer; [`code`]: refusals, for people.

mod code;
mod command;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use nii::envelope::Bytes;
use nii::secret::Secret;
use nii::tpm::{COORDINATE, Credential, ENDORSEMENT_KEY, Tpm};

use self::command::{Answer, Auth, Command};
use crate::linux::patience::comes_true;

/// The kernel's resource manager: every program has the chip's memory for itself.
const DEVICE: &str = "/dev/tpmrm0";
/// What a kernel has for a TPM 1.2 and a TPM 2.0 alike.
const ANY_DEVICE: &str = "/dev/tpm0";

/// TPM_RH_ENDORSEMENT
const ENDORSEMENT: u32 = 0x4000_000b;
/// TPM_RH_NULL: as a hierarchy, one whose keys end with the boot.
const NULL: u32 = 0x4000_0007;

/// TPM_ALG_SHA256, TPM_ALG_NULL
const SHA256: u16 = 0x000b;
const NO_ALGORITHM: u16 = 0x0010;
/// TPM_SE_POLICY
const POLICY: u8 = 1;
const NONCE: usize = 16;

/// Public area of the key that says which boot it is: for HMAC with SHA-256, made by the chip, and used for nothing. `noDA`, so
/// that a chip which is locked after wrong passwords has it all the same.
const BOOT_KEY: [u8; 16] = [
    0x00, 0x08, // TPM_ALG_KEYEDHASH
    0x00, 0x0b, // names by SHA-256
    0x00, 0x04, 0x04, 0x72, // fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, sign
    0x00, 0x00, // no policy
    0x00, 0x05, 0x00, 0x0b, // HMAC, SHA-256
    0x00, 0x00, // unique
];

/// How bytes come and go.
trait Link: Read + Write + Send {}
impl<T: Read + Write + Send> Link for T {}

/// A chip with two keys in it. They leave it when this is dropped.
pub struct Chip {
    link: Box<dyn Link>,
    /// What is to leave it, also after an error.
    loaded: Vec<u32>,
    endorsement_key: u32,
    boot_key: u32,
    shown: Tpm,
}

impl Chip {
    /// The machine's chip.
    ///
    /// # Errors
    /// When the kernel has none, or it refuses.
    pub fn open() -> Result<Self> {
        // Its driver may be a module that is being loaded.
        comes_true(|| Path::new(DEVICE).exists());
        let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
        let file = opened.with_context(|| match Path::new(ANY_DEVICE).exists() {
            true => "opening /dev/tpmrm0: the chip is a TPM 1.2, and a TPM 2.0 is needed",
            false => {
                "opening /dev/tpmrm0: no TPM 2.0 here; is it switched on in the firmware, and its driver in the initrd?"
            }
        })?;
        Self::over(file)
    }

    /// A chip at the other end of a connection.
    ///
    /// # Errors
    /// When it refuses.
    pub fn over(link: impl Read + Write + Send + 'static) -> Result<Self> {
        let shown = Tpm { endorsement_key: Bytes(Vec::new()), boot_key: Bytes(Vec::new()) };
        let (link, loaded) = (Box::new(link), Vec::new());
        let mut chip = Self { link, loaded, endorsement_key: 0, boot_key: 0, shown };
        // The template's point is zeroes (EK Credential Profile, B.3.4).
        let size = u16::try_from(COORDINATE)?.to_be_bytes();
        let point = [&size[..], &[0; COORDINATE], &size, &[0; COORDINATE]].concat();
        let endorsement = chip.primary(ENDORSEMENT, &[&ENDORSEMENT_KEY[..], &point].concat());
        let (handle, public, _) = endorsement.context("asking the TPM for its endorsement key")?;
        (chip.endorsement_key, chip.shown.endorsement_key) = (handle, Bytes(public));
        let (handle, _, name) =
            chip.primary(NULL, &BOOT_KEY).context("asking the TPM for a key of this boot")?;
        (chip.boot_key, chip.shown.boot_key) = (handle, Bytes(name));
        Ok(chip)
    }

    /// What it is known by.
    pub fn shown(&self) -> &Tpm {
        &self.shown
    }

    /// Unwraps a text.
    ///
    /// # Errors
    /// When it was wrapped for another chip, or another boot of this one.
    pub fn unwrap(&mut self, credential: &Credential) -> Result<Secret> {
        let policy = self.policy().context("asking the TPM for the use of its endorsement key")?;
        let command = Command::new("TPM2_ActivateCredential", 0x147)
            .handle(self.boot_key, Auth::Empty)
            .handle(self.endorsement_key, Auth::Policy(policy))
            .sized(&credential.object.0)?
            .sized(&credential.seed.0)?;
        let text = self.run(&command)?.sized()?.to_vec();
        String::from_utf8(text).map(Secret::new).context("reading what the TPM unwrapped")
    }

    /// A key that the chip derives from a hierarchy's seed: the same each time, until that seed changes. Its handle, its public
    /// area and its name.
    fn primary(&mut self, hierarchy: u32, template: &[u8]) -> Result<(u32, Vec<u8>, Vec<u8>)> {
        let command = Command::new("TPM2_CreatePrimary", 0x131)
            .handle(hierarchy, Auth::Empty)
            // No password, no data.
            .sized(&[0; 4])?
            .sized(template)?
            .sized(&[])?
            // No PCRs.
            .bytes(&[0; 4]);
        let mut answer = self.run(&command)?;
        let handle = answer.handle().context("reading a key's handle")?;
        self.loaded.push(handle);
        let public = answer.sized()?.to_vec();
        // How it was made: data, their hash, and a ticket, which begins with its tag and its hierarchy.
        answer.sized()?;
        answer.sized()?;
        answer.skip(6)?;
        answer.sized()?;
        let name = answer.sized()?.to_vec();
        Ok((handle, public, name))
    }

    /// A session that fulfils the endorsement key's policy.
    fn policy(&mut self) -> Result<u32> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| anyhow::anyhow!("{error}")).context("making a nonce")?;
        let start = Command::new("TPM2_StartAuthSession", 0x176)
            .bytes(&NULL.to_be_bytes())
            .bytes(&NULL.to_be_bytes())
            .sized(&nonce)?
            .sized(&[])?
            .bytes(&[POLICY])
            .bytes(&NO_ALGORITHM.to_be_bytes())
            .bytes(&SHA256.to_be_bytes());
        let session = self.run(&start)?.handle().context("reading a session's handle")?;
        self.loaded.push(session);
        let secret = Command::new("TPM2_PolicySecret", 0x151)
            .handle(ENDORSEMENT, Auth::Empty)
            .object(session)
            .sized(&[])?
            .sized(&[])?
            .sized(&[])?
            // It does not expire.
            .bytes(&[0; 4]);
        self.run(&secret)?;
        Ok(session)
    }

    fn run(&mut self, command: &Command) -> Result<Answer> {
        command.run(&mut *self.link)
    }
}

impl Drop for Chip {
    fn drop(&mut self) {
        for handle in std::mem::take(&mut self.loaded) {
            // The resource manager does the same when the file is closed; a chip at a socket has nobody else.
            let _ = self.run(&Command::new("TPM2_FlushContext", 0x165).bytes(&handle.to_be_bytes()));
        }
    }
}
