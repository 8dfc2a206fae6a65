//! The keys and the server's certificate of a running `serve`: they follow what commands do in `keys/`, and a certificate
//! is made anew long before it ends. No restart, and no node that notices.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use axum_server::tls_rustls::RustlsConfig;

use super::authority::{SERVER_LIFETIME, tls};
use super::{Keys, TRUST};
use crate::clock;
use crate::data_dir::DataDir;
use crate::log;

/// How often the files are looked at: one system call.
const LOOK: Duration = Duration::from_millis(500);

/// The keys as they are now.
pub struct Live(RwLock<Arc<Keys>>);

impl Live {
    /// Those of the data folder.
    ///
    /// # Errors
    /// When a key is missing or broken.
    pub fn load(dir: &DataDir) -> Result<Self> {
        Ok(Self(RwLock::new(Arc::new(Keys::load(dir)?))))
    }

    /// For one call: all of its answer is by the same keys.
    pub fn now(&self) -> Arc<Keys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The certificate of the TLS side.
pub struct Served {
    dir: DataDir,
    addresses: Vec<Ipv4Addr>,
    /// What the listeners share.
    pub config: RustlsConfig,
    stamp: Option<Stamp>,
    made_at: u64,
}

/// `trust.json` is written last whenever keys change, each time as a new file.
type Stamp = (u64, i64, i64);

fn stamp(dir: &DataDir) -> Option<Stamp> {
    let metadata = fs::metadata(dir.key(TRUST)).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}

impl Served {
    /// Makes the first, for these addresses.
    ///
    /// # Errors
    /// When the authority's key cannot be read.
    pub fn new(dir: &DataDir, addresses: Vec<Ipv4Addr>) -> Result<Self> {
        let (stamp, made_at) = (stamp(dir), clock::now_s());
        let config = RustlsConfig::from_config(tls(dir, &addresses)?);
        Ok(Self { dir: dir.clone(), addresses, config, stamp, made_at })
    }

    /// Never ends. What cannot be read is said, and what was there goes on.
    pub async fn follow(&mut self, live: &Live) {
        loop {
            tokio::time::sleep(LOOK).await;
            let (stamp, now) = (stamp(&self.dir), clock::now_s());
            let changed = stamp != self.stamp;
            if !changed && !is_due(self.made_at, now) {
                continue;
            }
            (self.stamp, self.made_at) = (stamp, now);
            match self.reload(live) {
                Ok(()) if changed => log::line(format_args!("the keys changed: serving with the new ones")),
                Ok(()) => log::line(format_args!("the server has a new certificate")),
                Err(error) => log::line(format_args!("reading the keys again: {error:#}")),
            }
        }
    }

    fn reload(&self, live: &Live) -> Result<()> {
        let (keys, config) = (Keys::load(&self.dir)?, tls(&self.dir, &self.addresses)?);
        *live.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.config.reload_from_config(config);
        Ok(())
    }
}

/// After a third of its life; and when the clock was set to before it was made: it may not be valid yet.
fn is_due(made_at: u64, now: u64) -> bool {
    now.checked_sub(made_at).is_none_or(|age| age > SERVER_LIFETIME.whole_seconds().unsigned_abs() / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_server_certificates_are_renewed_long_before_their_end() {
        const DAY: u64 = 86_400;
        let made = 20_000 * DAY;
        assert!(!is_due(made, made) && !is_due(made, made + 29 * DAY));
        assert!(
            is_due(made, made + 31 * DAY) && is_due(made, made + 4000 * DAY),
            "a jump of the clock as well"
        );
        assert!(is_due(made, made - 1), "a clock that was set back");
    }
}
