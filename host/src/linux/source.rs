//! An image's bytes over HTTP: whole files and ranges, from several URLs.
//!
//! Each call is one request; retries and verification are `image`'s. Connections are kept and used again. A URL that
//! fails gives way to the next one; one that lies is not asked again while another is left.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use image::source::{ChunkSource, FetchError, Piece};
use reqwest::StatusCode;
use reqwest::blocking::Response;
use reqwest::header::{CONTENT_RANGE, RANGE};
use thiserror::Error;

use crate::net::http::Http;

/// Why a URL did not give a piece.
#[derive(Debug, Error)]
enum SourceError {
    #[error("no answer from {url}")]
    Transport { url: String, source: reqwest::Error },
    #[error("{url} answered {status}")]
    Status { url: String, status: StatusCode },
    #[error("{url} answered other bytes than {wanted} (does it know Range requests?)")]
    Range { url: String, wanted: String },
    #[error("{url} sent {got} bytes of {wanted}")]
    Length { url: String, got: usize, wanted: u32 },
    #[error("reading from {url}")]
    Body { url: String, source: std::io::Error },
    #[error("the NII names no source for the image")]
    None,
}

/// Trouble is told this often at most.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Is told of trouble, in a sentence.
pub type Tell = Box<dyn Fn(String) + Send + Sync>;

/// The sources of one image.
pub struct Sources {
    http: Http,
    state: Mutex<State>,
    tell: Option<Tell>,
}

struct State {
    sources: Vec<Source>,
    /// Which one each thread asked last: who is meant when an answer is rejected.
    asked: HashMap<ThreadId, usize>,
    /// When trouble was told last.
    told: Option<Instant>,
}

struct Source {
    base: String,
    /// It gave wrong bytes.
    lied: bool,
    /// It says that it has no such file.
    lacks: bool,
    /// How often it failed.
    failures: u32,
}

impl Sources {
    /// The files of an image are directly below each of `bases`.
    pub fn new(http: Http, bases: &[String]) -> Self {
        let source = |base: &String| Source {
            base: base.trim_end_matches('/').into(),
            lied: false,
            lacks: false,
            failures: 0,
        };
        let sources = bases.iter().map(source).collect();
        let state = State { sources, asked: HashMap::new(), told: None };
        Self { http, state: Mutex::new(state), tell: None }
    }

    /// The same, which tells of failures that it hopes will pass.
    #[must_use]
    pub fn telling(mut self, tell: Tell) -> Self {
        self.tell = Some(tell);
        self
    }

    fn tell(&self, error: &SourceError) {
        let Some(tell) = &self.tell else { return };
        let told = &mut self.state().told;
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            let mut cause: &dyn std::error::Error = error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            tell(format!("{error}: {cause}; asking again in a moment"));
            *told = Some(Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request to `url`.
    fn get(&self, url: &str, piece: Piece, buf: &mut Vec<u8>) -> Result<(), SourceError> {
        let url = || url.to_owned();
        let mut request = self.http.client().get(url());
        if let Some((offset, len)) = piece.range() {
            request = request.header(RANGE, format!("bytes={offset}-{}", offset + u64::from(len) - 1));
        }
        let transport =
            |source: reqwest::Error| SourceError::Transport { url: url(), source: source.without_url() };
        let response = request.send().map_err(transport)?;
        if !response.status().is_success() {
            return Err(SourceError::Status { url: url(), status: response.status() });
        }
        if let Some((offset, len)) = piece.range().filter(|range| !is_range(&response, *range)) {
            return Err(SourceError::Range { url: url(), wanted: format!("{len} from byte {offset}") });
        }
        let most = piece.max_len();
        let expected = response.content_length().unwrap_or(0).min(u64::from(most));
        buf.reserve_exact(expected as usize + 1);
        // One byte more than allowed is enough to see that there are too many.
        let read = response.take(u64::from(most) + 1).read_to_end(buf);
        let got = read.map_err(|source| SourceError::Body { url: url(), source })?;
        let whole = if piece.range().is_some() { got == most as usize } else { got <= most as usize };
        if whole { Ok(()) } else { Err(SourceError::Length { url: url(), got, wanted: most }) }
    }
}

/// Whether the answer is this range and no other.
fn is_range(response: &Response, (offset, len): (u64, u32)) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let wanted = format!("bytes {offset}-{}/", offset + u64::from(len) - 1);
    response.status() == StatusCode::PARTIAL_CONTENT && range.is_some_and(|range| range.starts_with(&wanted))
}

impl State {
    /// The source to ask: no liar and none without the image as long as there are others, then the one that failed
    /// least, then the NII's order. A source that failed is thus asked again only after all others failed too.
    fn choose(&self) -> Option<usize> {
        let rank = |index: &usize| {
            let source = &self.sources[*index];
            (source.lied, source.lacks, source.failures)
        };
        (0..self.sources.len()).min_by_key(rank)
    }

    /// A source failed. Whether another try makes sense.
    fn failed(&mut self, index: usize, error: &SourceError) -> bool {
        self.sources[index].failures += 1;
        if let SourceError::Status { status, .. } = error
            && status.is_client_error()
            && *status != StatusCode::TOO_MANY_REQUESTS
            && *status != StatusCode::REQUEST_TIMEOUT
        {
            self.sources[index].lacks = true;
        }
        self.sources.iter().any(|source| !source.lacks)
    }
}

impl ChunkSource for Sources {
    fn fetch(&self, piece: Piece, _attempt: u32, buf: &mut Vec<u8>) -> Result<(), FetchError> {
        let (index, url) = {
            let mut state = self.state();
            let index = state.choose().ok_or_else(|| FetchError::fatal(SourceError::None))?;
            state.asked.insert(thread::current().id(), index);
            (index, format!("{}/{}", state.sources[index].base, piece.file_name()))
        };
        self.get(&url, piece, buf).map_err(|error| {
            buf.clear();
            let retry = self.state().failed(index, &error);
            if retry {
                self.tell(&error);
            }
            FetchError { retry, cause: error.into() }
        })
    }

    fn rejected(&self, _piece: Piece, _attempt: u32) {
        let mut state = self.state();
        if let Some(&index) = state.asked.get(&thread::current().id()) {
            state.sources[index].lied = true;
        }
    }
}
