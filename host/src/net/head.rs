//! The head node's protocol as a node speaks it (`docs/protocol.md`): signed time, session, NII, in this order, each
//! answer checked before a word of it is believed. Requests go through [`Machine::fetch`].

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ed25519_dalek::SigningKey;
use nii::digest::Digest;
use nii::envelope::{Envelope, NiiPayload, PublicKey, Purpose};
use nii::secret::Secret;
use nii::session::{
    ErrorCode, PROTOCOL, SessionAnswer, SessionKey, SessionRequest, TimePayload, TokenAnswer, TokenRequest,
};
use nii::tpm::Tpm;
use nii::trust::Trust;
use nii::v1::OnFailure;
use nii::{Finding, Nii, Strictness, v1};
use uuid::Uuid;

use super::clock::Clock;
use super::retry::{Sleep, until_answered};
use crate::linux::tpm::Chip;
use crate::machine::{FetchError, Machine, Request, Watch};
use crate::observers::{Policy, set_policy};

/// The head node, as a node knows it from its command line and its initrd.
pub struct Head {
    /// Base URL of the plain side, as in `http://10.1.0.1:8080`.
    pub base: String,
    /// Whom to believe.
    pub trust: Trust,
    /// Is told the signed time.
    pub clock: Arc<Clock>,
    /// How to wait between tries.
    pub sleep: Sleep,
}

/// Who the node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The one-time token.
    pub token: Secret,
    /// MAC address of the boot interface, lower case with colons.
    pub mac: String,
    /// SMBIOS system UUID, where the firmware has one.
    pub uuid: Option<Uuid>,
    /// The kernel's boot id.
    pub boot_id: Uuid,
    /// Whether the session's key is for the machine's TPM.
    pub tpm: bool,
}

/// A session: what the other calls need.
#[derive(Clone, Debug)]
pub struct Session {
    /// Base URL of the TLS side.
    pub https: String,
    /// The bearer key.
    pub key: Secret,
    /// The node's name.
    pub node: String,
    /// The admin's act that is carried out.
    pub arming: Uuid,
    /// This boot's try at it.
    pub attempt: Uuid,
    /// The MAC address that the session was asked with.
    pub mac: String,
}

impl Head {
    /// Asks for the signed time, for ever, and sets the clock by it. The base URL of the TLS side.
    ///
    /// # Errors
    /// A refusal, an answer that is not the head node's, or another protocol version.
    pub fn time(&self, machine: &mut dyn Machine, watch: &mut dyn Watch) -> Result<TimePayload> {
        let whom = format!("the head node at {}", self.base);
        let (nonce, answer) = until_answered(&whom, self.sleep, watch, || {
            let nonce = nonce();
            let url = format!("{}/api/v1/time?nonce={nonce}", self.base.trim_end_matches('/'));
            Ok((nonce, machine.fetch(&Request { url, bearer: None, body: None })?))
        })
        .context("asking the head node for the time")?;
        let time = self.check_time(&answer, &nonce).context("checking the head node's signed time")?;
        self.clock.tell(time.time);
        Ok(time)
    }

    fn check_time(&self, answer: &[u8], nonce: &str) -> Result<TimePayload> {
        let envelope: Envelope = serde_json::from_slice(answer).context("this is no signed time")?;
        // Only for the certificate's end: the claim counts once the signature over it was checked.
        let claimed: TimePayload =
            serde_json::from_slice(&envelope.payload.0).context("this is no signed time")?;
        self.trust.open(&envelope, Purpose::Time, claimed.time)?;
        ensure!(
            claimed.nonce == nonce,
            "the answer is an old one (wrong nonce); is there a cache in between?"
        );
        ensure!(
            claimed.protocol == PROTOCOL,
            "the head node ({}) speaks protocol {}, this initrd {PROTOCOL}: rebuild the initrd from the head node's release",
            claimed.release,
            claimed.protocol
        );
        let floor = self.trust.time_floor;
        ensure!(
            claimed.time >= floor,
            "the head node says {} s since 1970, before its own CA was made ({floor}): set its clock",
            claimed.time
        );
        ensure!(
            claimed.https.starts_with("https://"),
            "the head node's TLS side is at {}, which is not https",
            claimed.https
        );
        self.check_authority(&claimed)?;
        Ok(claimed)
    }

    /// TLS itself would only say that the certificate's issuer is not known.
    fn check_authority(&self, time: &TimePayload) -> Result<()> {
        let Some(authority) = &time.authority else { return Ok(()) };
        let believed = self.trust.authorities();
        let names = || believed.iter().map(short).collect::<Vec<_>>().join(", ");
        ensure!(
            believed.contains(authority),
            "the head node's TLS certificate is of the authority {}, and this initrd believes only {}: the authority was \
             replaced; build this initrd anew with what `headnode trust` prints now",
            short(authority),
            names()
        );
        Ok(())
    }

    /// Asks for the one-time token of the node with this MAC address, as the machine with this id, for ever. An answer that was lost is the same again.
    ///
    /// # Errors
    /// The head node refuses: there is no such node, it is not armed, this is not its address.
    pub fn token(
        &self,
        https: &str,
        (mac, uuid): (&str, Option<Uuid>),
        machine: &mut dyn Machine,
        watch: &mut dyn Watch,
    ) -> Result<Secret> {
        let https = https.trim_end_matches('/');
        let body = serde_json::to_vec(&TokenRequest { mac: mac.to_owned(), uuid })?;
        let request = Request { url: format!("{https}/api/v1/token"), bearer: None, body: Some(body) };
        let whom = format!("the head node at {https}");
        let answer = until_answered(&whom, self.sleep, watch, || machine.fetch(&request))
            .with_context(|| format!("asking for the token of the node with MAC {mac}"))?;
        let TokenAnswer { token } =
            serde_json::from_slice(&answer).context("reading the head node's token")?;
        Ok(token)
    }

    /// Trades the token for a session, asking for ever.
    ///
    /// # Errors
    /// The head node refuses: the token is used or has ended, the node is not armed, the versions do not fit, the TPM is
    /// another node's. Or that does not unwrap the session's key.
    pub fn session(
        &self,
        https: &str,
        identity: &Identity,
        release: &str,
        machine: &mut dyn Machine,
        watch: &mut dyn Watch,
    ) -> Result<Session> {
        let https = https.trim_end_matches('/');
        let mut chip = chip(identity, machine, watch);
        let body = session_request(identity, chip.as_ref().map(Chip::shown), release)?;
        let request = Request { url: format!("{https}/api/v1/session"), bearer: None, body: Some(body) };
        let whom = format!("the head node at {https}");
        let answer = until_answered(&whom, self.sleep, watch, || machine.fetch(&request))
            .context("trading the token for a session")?;
        let SessionAnswer { session, node, arming, attempt } =
            serde_json::from_slice(&answer).context("reading the head node's session")?;
        let key = match (session, &mut chip) {
            (SessionKey::Plain(key), _) => key,
            (SessionKey::Wrapped(key), Some(chip)) => {
                chip.unwrap(&key).context("unwrapping the session's key")?
            }
            (SessionKey::Wrapped(_), None) => {
                bail!("the session's key is wrapped for a TPM that was not shown")
            }
        };
        Ok(Session { https: https.to_owned(), key, node, arming, attempt, mac: identity.mac.clone() })
    }

    /// Fetches the NII and checks that it is for this node, this arming and this attempt. With its warnings.
    ///
    /// # Errors
    /// A refusal, an envelope that must not be obeyed, or an NII with errors.
    pub fn nii(
        &self,
        session: &Session,
        machine: &mut dyn Machine,
        watch: &mut dyn Watch,
    ) -> Result<(Nii, Vec<Finding>)> {
        let whom = format!("the head node at {}", session.https);
        let (nonce, answer) = until_answered(&whom, self.sleep, watch, || {
            let nonce = nonce();
            let url = format!("{}/api/v1/nii?nonce={nonce}", session.https);
            Ok((nonce, machine.fetch(&Request { url, bearer: Some(session.key.clone()), body: None })?))
        })
        .context("asking the head node for the NII")?;
        let envelope: Envelope = serde_json::from_slice(&answer).context("reading the NII's envelope")?;
        let payload = self
            .trust
            .open(&envelope, Purpose::Nii, self.clock.now())
            .context("checking the NII's envelope")?;
        let payload: NiiPayload = serde_json::from_slice(payload).context("reading the NII's envelope")?;
        check_binding(&payload, session, &nonce).context("checking the NII's envelope")?;
        Ok(nii::read(payload.nii.get().as_bytes(), Strictness::Lenient)?)
    }
}

fn check_binding(payload: &NiiPayload, session: &Session, nonce: &str) -> Result<()> {
    ensure!(payload.nonce == nonce, "the answer is an old one (wrong nonce)");
    ensure!(payload.mac == session.mac, "it is for the node with MAC {}, not {}", payload.mac, session.mac);
    if (payload.arming, payload.attempt) != (session.arming, session.attempt) {
        bail!(
            "it is for arming {} attempt {}, not {} {}",
            payload.arming,
            payload.attempt,
            session.arming,
            session.attempt
        );
    }
    Ok(())
}

/// What a node does that got no session is its policy before there is an NII, with one exception: a token whose time is over,
/// since the head node was away for so long, is replaced by another boot, and needs nobody.
pub fn after_refusal(error: &anyhow::Error, policy: &Policy) {
    if let Some(FetchError::Refused { answer, .. }) = error.downcast_ref()
        && answer.code == ErrorCode::Expired
    {
        set_policy(policy, OnFailure::Reboot);
    }
}

/// Without one the head node is asked all the same: it is who refuses, and its events have it then.
fn chip(identity: &Identity, machine: &mut dyn Machine, watch: &mut dyn Watch) -> Option<Chip> {
    if !identity.tpm {
        return None;
    }
    let chip = machine.tpm();
    chip.inspect_err(|error| watch.log(&format!("the head node wants this machine's TPM: {error:#}"))).ok()
}

fn session_request(identity: &Identity, tpm: Option<&Tpm>, release: &str) -> Result<Vec<u8>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow!("{error}")).context("making the node's key")?;
    let key = SigningKey::from_bytes(&seed);
    let message = SessionRequest::proof_message(&identity.token, &identity.mac, identity.boot_id);
    let request = SessionRequest {
        token: identity.token.clone(),
        mac: identity.mac.clone(),
        uuid: identity.uuid,
        boot_id: identity.boot_id,
        key: PublicKey::from(&key),
        proof: Purpose::Session.sign(&message, &key),
        protocol: PROTOCOL,
        nii_version: v1::VERSION,
        release: release.to_owned(),
        tpm: tpm.cloned(),
    };
    Ok(serde_json::to_vec(&request)?)
}

/// An authority as `headnode keys list` shows it.
fn short(authority: &Digest) -> String {
    authority.to_string()[..12].to_owned()
}

/// 122 random bits.
fn nonce() -> String {
    Uuid::new_v4().simple().to_string()
}
