//! One HTTP exchange. TLS believes the cluster CA only, and the head node's signed time instead of the machine's.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nii::session::{ErrorAnswer, ErrorCode};
use nii::trust::Trust;
use reqwest::blocking::{Client, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::clock::Clock;
use crate::machine::{FetchError, Request};

const CONNECT: Duration = Duration::from_secs(5);
/// For the answer's head, and then for each read of its body.
const IDLE: Duration = Duration::from_secs(30);
/// No answer of the protocol is longer.
const ANSWER_MAX: u64 = 16 << 20;

/// Makes exchanges; [`Http`], or a stand-in in tests.
pub trait Exchange: Send + Sync {
    /// Makes one exchange, once.
    ///
    /// # Errors
    /// [`FetchError`] says whether another try may help.
    fn exchange(&self, request: &Request) -> Result<Vec<u8>, FetchError>;
}

/// The client, for plain HTTP and TLS. Clones share connections.
#[derive(Clone, Debug)]
pub struct Http(Client);

impl Http {
    /// A client that believes the CAs of `trust`, at the time of `clock`.
    ///
    /// # Errors
    /// The CAs cannot be read.
    pub fn new(trust: &Trust, clock: Arc<Clock>) -> Result<Self> {
        let roots = roots(&trust.ca_pem)?;
        anyhow::ensure!(!roots.is_empty(), "the trust file has no CA certificate; rebuild the initrd");
        Self::with_roots(roots, clock)
    }

    /// A client that believes no certificate: for plain HTTP.
    ///
    /// # Errors
    /// The client's thread cannot be started.
    pub fn plain() -> Result<Self> {
        Self::with_roots(RootCertStore::empty(), Arc::new(Clock::new(0)))
    }

    fn with_roots(roots: RootCertStore, clock: Arc<Clock>) -> Result<Self> {
        let config = ClientConfig::builder_with_details(Arc::new(ring::default_provider()), clock)
            .with_safe_default_protocol_versions()
            .context("choosing TLS versions")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .connect_timeout(CONNECT)
            .timeout(IDLE)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("camphor/", env!("CARGO_PKG_VERSION")));
        Ok(Self(client.build().context("making the HTTP client")?))
    }

    /// The client itself, for bulk data that is verified elsewhere.
    pub fn client(&self) -> &Client {
        &self.0
    }

    fn send(&self, request: &Request) -> reqwest::Result<Response> {
        let mut builder = match &request.body {
            Some(body) => {
                self.0.post(&request.url).header(CONTENT_TYPE, "application/json").body(body.clone())
            }
            None => self.0.get(&request.url),
        };
        if let Some(bearer) = &request.bearer {
            builder = builder.header(AUTHORIZATION, format!("Bearer {}", bearer.expose()));
        }
        builder.send()
    }
}

impl Exchange for Http {
    fn exchange(&self, request: &Request) -> Result<Vec<u8>, FetchError> {
        let transport = |source: anyhow::Error| FetchError::Transport { url: request.url.clone(), source };
        if request.bearer.is_some() && !request.url.starts_with("https:") {
            return Err(transport(anyhow::anyhow!("a session key is sent over https only")));
        }
        let response = self.send(request).map_err(|error| transport(error.without_url().into()))?;
        let status = response.status();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        response.take(ANSWER_MAX).read_to_end(&mut body).context("reading the answer").map_err(transport)?;
        if status.is_success() {
            return Ok(body);
        }
        let answer = refusal(status.as_u16(), &body);
        Err(FetchError::Refused { url: request.url.clone(), status: status.as_u16(), answer, retry_after })
    }
}

fn roots(ca_pem: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|error| anyhow::anyhow!("{error:?}"));
        let certificate = certificate.context("reading the cluster CA of the trust file")?;
        roots.add(certificate).context("reading the cluster CA of the trust file")?;
    }
    Ok(roots)
}

/// The head node's refusal; of a cache's page only the beginning is kept.
fn refusal(status: u16, body: &[u8]) -> ErrorAnswer {
    serde_json::from_slice(body).unwrap_or_else(|_| ErrorAnswer {
        code: match status {
            401 | 403 => ErrorCode::Unauthorized,
            404 => ErrorCode::NotFound,
            429 | 503 => ErrorCode::Busy,
            500.. => ErrorCode::Internal,
            _ => ErrorCode::BadRequest,
        },
        message: String::from_utf8_lossy(&body[..body.len().min(200)]).trim().to_owned(),
    })
}
