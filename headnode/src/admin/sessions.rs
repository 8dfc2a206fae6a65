//! Who is logged in at the web page. In memory: a restart of `serve` ends all of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use blake3::Hash;
use zeroize::Zeroizing;

use crate::keys;

/// How long one lasts.
pub const LIFETIME: Duration = Duration::from_secs(8 * 60 * 60);
/// Sessions of one API key. One more ends the oldest.
const PER_KEY: usize = 16;

/// The open sessions, by the hash of their secret.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Hash, Session>>);

#[derive(Clone, Copy)]
struct Session {
    key: Hash,
    ends: Instant,
}

impl Sessions {
    /// Begins one for the API key with this hash; its secret.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn open(&self, key: Hash) -> Result<Zeroizing<String>> {
        let secret = keys::new_secret()?;
        let now = Instant::now();
        let mut all = self.all();
        all.retain(|_, session| session.ends > now);
        let own = all.iter().filter(|(_, session)| session.key == key);
        if own.clone().count() >= PER_KEY
            && let Some(oldest) = own.min_by_key(|(_, session)| session.ends).map(|(hash, _)| *hash)
        {
            all.remove(&oldest);
        }
        all.insert(keys::hash(&secret), Session { key, ends: now + LIFETIME });
        Ok(secret)
    }

    /// The hash of the API key that a session was begun with. Whether that key still is one, the store knows.
    pub fn key_of(&self, secret: &str) -> Option<Hash> {
        let session = self.all().get(&keys::hash(secret)).copied()?;
        (session.ends > Instant::now()).then_some(session.key)
    }

    /// Ends one.
    pub fn close(&self, secret: &str) {
        self.all().remove(&keys::hash(secret));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Hash, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a form of a session's page must send along: no other site can know it.
pub fn form_token(secret: &str) -> Hash {
    Hash::from_bytes(blake3::derive_key("camphor 2026 headnode web page form token", secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_a_key_has_so_many_sessions() {
        let (sessions, [a, b]) = (Sessions::default(), ["a", "b"].map(keys::hash));
        let others = sessions.open(b).unwrap();
        let mine: Vec<_> = (0..=PER_KEY).map(|_| sessions.open(a).unwrap()).collect();
        assert_eq!(sessions.all().len(), PER_KEY + 1);
        assert_eq!((sessions.key_of(&mine[0]), sessions.key_of(&mine[PER_KEY])), (None, Some(a)));
        assert_eq!(sessions.key_of(&others), Some(b));
        sessions.close(&others);
        assert_eq!((sessions.key_of(&others), sessions.key_of("")), (None, None));
    }
}
