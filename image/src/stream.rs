//! An image's data as one stream of plain bytes: chunks are fetched, verified and decompressed by several threads, and
//! come out in order.
//!
//! A worker does all three for one chunk. Nothing is decompressed before its digest is right, and nothing is held
//! beyond a window of chunks: buffers are handed back and used again, since fresh memory costs page faults.

use std::io::{self, BufRead, Read};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nii::digest::Digest;
use nii::manifest::{Chunk, Manifest, PageReader};
use zstd::bulk::Decompressor;

use crate::ordered::Ordered;
use crate::source::{ChunkSource, Patience, Piece, PieceError, fetch_right};
use crate::unpack::UnpackError;

/// Memory for chunks under way, stored and plain.
const BUDGET: usize = 24 << 20;
/// More connections than this do not make one node faster.
const WORKERS_MAX: usize = 8;

/// A chunk's plain bytes.
struct Block {
    plain: Vec<u8>,
    stored_len: u32,
}

/// What the threads share.
pub(crate) struct Stream<'a> {
    manifest: &'a Manifest,
    source: &'a dyn ChunkSource,
    patience: &'a Patience,
    feed: Mutex<Feed>,
    ordered: Ordered<Result<Block, UnpackError>>,
    /// Plain buffers that are not in use.
    spare: Mutex<Vec<Vec<u8>>>,
    /// How many threads are to call [`Stream::work`].
    pub workers: usize,
}

/// Hands out the chunks in order. A page is read when the one before it is used up: that is once in a thousand chunks.
#[derive(Default)]
struct Feed {
    pages: PageReader,
    chunks: std::vec::IntoIter<Chunk>,
    page: Vec<u8>,
    next: u64,
    /// A page could not be had: the consumer learns it when it comes to that page, and the other workers end.
    failed: bool,
}

impl<'a> Stream<'a> {
    pub fn new(manifest: &'a Manifest, source: &'a dyn ChunkSource, patience: &'a Patience) -> Self {
        // One thread more than cores, so that one waits for the network while the others work; each holds a stored and
        // a plain chunk, and as many plain ones wait for the consumer.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let fit = BUDGET / (3 * manifest.window as usize);
        let workers = (cores + 1).min(WORKERS_MAX).min(fit).max(1);
        let ordered = Ordered::new(2 * workers);
        let (feed, spare) = (Mutex::default(), Mutex::default());
        Self { manifest, source, patience, feed, ordered, spare, workers }
    }

    /// What a worker thread does, until there are no chunks left or the work is stopped.
    pub fn work(&self) {
        let guard = self.ordered.stop_guard();
        let mut stored = Vec::new();
        let mut decompressor = Decompressor::new();
        while let Some((number, chunk)) = self.next_chunk() {
            if !self.ordered.room(number) {
                break;
            }
            let block = match (chunk, &mut decompressor) {
                (Ok(chunk), Ok(decompressor)) => self.block(number, chunk, &mut stored, decompressor),
                (Ok(_), Err(error)) => Err(UnpackError::Decompress {
                    number,
                    cause: io::Error::new(error.kind(), error.to_string()),
                }),
                (Err(error), _) => Err(error),
            };
            self.ordered.put(number, block);
        }
        guard.disarm();
    }

    /// Ends all work: what the consumer calls whenever it is done, early or not.
    pub fn stop(&self) {
        self.ordered.stop();
    }

    fn next_chunk(&self) -> Option<(u64, Result<Chunk, UnpackError>)> {
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        let number = feed.next;
        if feed.failed {
            return None;
        }
        if feed.chunks.len() == 0
            && let Err(error) = self.next_page(&mut feed)
        {
            feed.failed = true;
            return Some((number, Err(error)));
        }
        let Some(chunk) = feed.chunks.next() else {
            self.ordered.end(number);
            return None;
        };
        feed.next += 1;
        Some((number, Ok(chunk)))
    }

    fn next_page(&self, feed: &mut Feed) -> Result<(), UnpackError> {
        let Some((_, offset, len)) = feed.pages.next(self.manifest) else { return Ok(()) };
        let (pages, page) = (&mut feed.pages, &mut feed.page);
        self.fetch(Piece::Pages { offset, len }, page, |bytes| pages.matches(self.manifest, bytes))?;
        feed.chunks = pages.read(self.manifest, page).map_err(UnpackError::Manifest)?.into_iter();
        Ok(())
    }

    fn fetch(
        &self,
        piece: Piece,
        buf: &mut Vec<u8>,
        right: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), PieceError> {
        let pause = |pause: Duration| self.ordered.pause(pause);
        fetch_right(self.source, piece, self.patience, buf, right, pause)
    }

    fn block(
        &self,
        number: u64,
        chunk: Chunk,
        stored: &mut Vec<u8>,
        decompressor: &mut Decompressor<'_>,
    ) -> Result<Block, UnpackError> {
        let piece = Piece::Data { offset: chunk.offset, len: chunk.stored_len };
        self.fetch(piece, stored, |bytes| {
            bytes.len() == chunk.stored_len as usize && Digest::of(bytes) == chunk.stored
        })?;
        let mut plain = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        plain.clear();
        // Room for what the table says and not a byte more: a frame that wants more fails.
        plain.reserve_exact(self.manifest.window as usize);
        let len = decompressor
            .decompress_to_buffer(stored, &mut plain)
            .map_err(|cause| UnpackError::Decompress { number, cause })?;
        if len != chunk.plain_len as usize {
            return Err(UnpackError::PlainLength { number, wanted: chunk.plain_len, found: len });
        }
        Ok(Block { plain, stored_len: chunk.stored_len })
    }
}

/// The consumer's end: the plain bytes, in order.
pub(crate) struct Plain<'a, F> {
    stream: &'a Stream<'a>,
    current: Vec<u8>,
    at: usize,
    /// Called with the stored and the plain length of each chunk as it is begun.
    on_chunk: F,
    /// Why the stream ended early; `read` itself can say it only as text.
    pub error: Option<UnpackError>,
}

impl<'a, F: FnMut(u32, usize)> Plain<'a, F> {
    pub fn new(stream: &'a Stream<'a>, on_chunk: F) -> Self {
        Self { stream, current: Vec::new(), at: 0, on_chunk, error: None }
    }
}

impl<F: FnMut(u32, usize)> BufRead for Plain<'_, F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len() {
            let used = std::mem::take(&mut self.current);
            self.at = 0;
            self.stream.spare.lock().unwrap_or_else(PoisonError::into_inner).push(used);
            match self.stream.ordered.take() {
                Some(Ok(block)) => {
                    (self.on_chunk)(block.stored_len, block.plain.len());
                    self.current = block.plain;
                }
                Some(Err(error)) => {
                    let text = error.to_string();
                    self.error = Some(error);
                    return Err(io::Error::other(text));
                }
                None if self.stream.ordered.stopped() => {
                    return Err(io::Error::other("a worker thread died"));
                }
                None => {}
            }
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl<F: FnMut(u32, usize)> Read for Plain<'_, F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}
