//! Cutting tar bytes into chunks, and compressing them on all cores in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use nii::digest::Digest;
use nii::manifest::Chunk;
use zstd::bulk::Compressor;

use super::error::ImportError;
use super::secrets::Sieve;
use super::sift::{Found, Sift};
use super::survey::Survey;
use super::{CHUNK, ImportOptions, ImportProgress};
use crate::ordered::Ordered;
use crate::tar::read::Reader;

/// What was written.
pub(super) struct Frames {
    /// All chunks, in order.
    pub chunks: Vec<Chunk>,
}

/// A chunk on its way: number and plain bytes.
type Job = (u64, Vec<u8>);

/// A compressed chunk; its offset is not known yet. With the plain buffer, to be used again.
struct Packed {
    chunk: Chunk,
    stored: Vec<u8>,
    plain: Vec<u8>,
}

struct Shared {
    ordered: Ordered<io::Result<Packed>>,
    /// Plain and stored buffers that are not in use.
    spare: Mutex<Vec<Vec<u8>>>,
    stored: AtomicU64,
}

impl Shared {
    fn spare(&self) -> Vec<u8> {
        let mut buffer = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    fn give_back(&self, buffers: [Vec<u8>; 2]) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).extend(buffers);
    }
}

/// Reads an archive to its end: surveys it, and writes it to `file` as chunks.
pub(super) fn pack(
    input: &mut dyn BufRead,
    file: &File,
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<(Survey, Found, Frames), ImportError> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shared =
        Shared { ordered: Ordered::new(2 * workers), spare: Mutex::default(), stored: AtomicU64::new(0) };
    let (jobs, todo) = channel::<Job>();
    let todo = Mutex::new(todo);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| compress(&shared, &todo, options.level));
        }
        let writer = scope.spawn(|| write(&shared, file));
        let mut framer =
            Framer { input, shared: &shared, jobs, plain: Vec::new(), number: 0, fate: Passing::Kept };
        let sift = Sift::new(Sieve::new(&options.allow_secrets, options.strip_secrets));
        let read = survey(&mut framer, sift, progress).and_then(|read| Ok((read, framer.finish()?)));
        match &read {
            Ok((_, count)) => shared.ordered.end(*count),
            Err(_) => shared.ordered.stop(),
        }
        drop(framer);
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (written, read) {
            // The reader saw only that its work was stopped.
            (Err(error), _) => Err(error),
            (_, Err(error)) => Err(error),
            (Ok(chunks), Ok(((survey, found), _))) => Ok((survey, found, Frames { chunks })),
        }
    })
}

fn survey(
    framer: &mut Framer<'_>,
    mut sift: Sift<'_>,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<(Survey, Found), ImportError> {
    let shared = framer.shared;
    let mut survey = Survey::default();
    let mut reader = Reader::new(framer);
    let mut reported = 0;
    loop {
        reader.skip_data()?;
        reader.input().hold();
        let Some(member) = reader.next_member()? else { break };
        if let Some(seen) = sift.member(&member, &mut reader)? {
            survey.member(member, seen, &mut reader)?;
        }
        if reader.position() - reported >= CHUNK as u64 {
            reported = reader.position();
            let stored = shared.stored.load(Ordering::Relaxed);
            progress(ImportProgress { plain: reported, stored, members: survey.members() });
        }
    }
    reader.input().keep().map_err(ImportError::Compress)?;
    reader.drain()?;
    Ok((survey, sift.finish()?))
}

/// What becomes of the bytes that the reader takes.
enum Passing {
    /// The compressors get them.
    Kept,
    /// That is not decided.
    Held(Vec<u8>),
    /// Nobody gets them.
    Forgotten,
}

/// Passes the archive on to the reader, and on to the compressors every byte of it that is not left out.
pub(super) struct Framer<'a> {
    input: &'a mut dyn BufRead,
    shared: &'a Shared,
    jobs: Sender<Job>,
    plain: Vec<u8>,
    number: u64,
    fate: Passing,
}

impl Framer<'_> {
    /// Holds back what comes now, until [`Framer::keep`] or [`Framer::forget`].
    pub fn hold(&mut self) {
        self.fate = Passing::Held(Vec::new());
    }

    /// How much is held back.
    pub fn held(&self) -> usize {
        if let Passing::Held(held) = &self.fate { held.len() } else { 0 }
    }

    /// What is held back, from a byte on.
    pub fn held_from(&mut self, start: usize) -> &mut [u8] {
        if let Passing::Held(held) = &mut self.fate {
            held.get_mut(start..).unwrap_or_default()
        } else {
            &mut []
        }
    }

    /// Passes on what was held back, and what comes now.
    pub fn keep(&mut self) -> io::Result<()> {
        let Passing::Held(held) = std::mem::replace(&mut self.fate, Passing::Kept) else { return Ok(()) };
        let mut rest = held.as_slice();
        while !rest.is_empty() {
            if self.plain.len() == CHUNK {
                self.send()?;
            }
            let (now, later) = rest.split_at(rest.len().min(CHUNK - self.plain.len()));
            self.plain.extend_from_slice(now);
            rest = later;
        }
        Ok(())
    }

    /// Drops what was held back, and what comes now.
    pub fn forget(&mut self) {
        self.fate = Passing::Forgotten;
    }

    /// Hands a full buffer to the compressors.
    fn send(&mut self) -> io::Result<()> {
        if !self.shared.ordered.room(self.number) {
            return Err(io::Error::other("writing the image failed"));
        }
        let plain = std::mem::replace(&mut self.plain, self.shared.spare());
        self.jobs
            .send((self.number, plain))
            .map_err(|_| io::Error::other("no thread is left to compress"))?;
        self.number += 1;
        Ok(())
    }

    /// Hands over the rest; the number of chunks.
    fn finish(&mut self) -> Result<u64, ImportError> {
        if !self.plain.is_empty() {
            self.send().map_err(ImportError::Compress)?;
        }
        Ok(self.number)
    }
}

impl BufRead for Framer<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.plain.len() == CHUNK {
            self.send()?;
        }
        let bytes = self.input.fill_buf()?;
        Ok(&bytes[..bytes.len().min(CHUNK - self.plain.len())])
    }

    fn consume(&mut self, count: usize) {
        // What was filled is still there: this copies, and reads nothing.
        if let Ok(bytes) = self.input.fill_buf() {
            match &mut self.fate {
                Passing::Kept => self.plain.extend_from_slice(&bytes[..count]),
                Passing::Held(held) => held.extend_from_slice(&bytes[..count]),
                Passing::Forgotten => {}
            }
            self.input.consume(count);
        }
    }
}

impl Read for Framer<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

fn compress(shared: &Shared, todo: &Mutex<Receiver<Job>>, level: i32) {
    let guard = shared.ordered.stop_guard();
    let mut compressor = Compressor::new(level);
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok((number, plain)) = next() {
        let packed = match &mut compressor {
            Ok(compressor) => packed(shared, compressor, plain),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        shared.ordered.put(number, packed);
    }
    guard.disarm();
}

fn packed(shared: &Shared, compressor: &mut Compressor<'_>, plain: Vec<u8>) -> io::Result<Packed> {
    let mut stored = shared.spare();
    stored.reserve(zstd::zstd_safe::compress_bound(plain.len()));
    compressor.compress_to_buffer(&plain, &mut stored)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
    let chunk = Chunk {
        stored: Digest::of(&stored),
        plain: Digest::of(&plain),
        offset: 0,
        stored_len: length(&stored)?,
        plain_len: length(&plain)?,
    };
    Ok(Packed { chunk, stored, plain })
}

/// Writes the chunks in order.
fn write(shared: &Shared, mut file: &File) -> Result<Vec<Chunk>, ImportError> {
    let guard = shared.ordered.stop_guard();
    let mut chunks = Vec::new();
    let mut offset = 0;
    while let Some(packed) = shared.ordered.take() {
        let Packed { chunk, stored, plain } = packed.map_err(ImportError::Compress)?;
        file.write_all(&stored).map_err(ImportError::Compress)?;
        chunks.push(Chunk { offset, ..chunk });
        offset += u64::from(chunk.stored_len);
        shared.stored.store(offset, Ordering::Relaxed);
        shared.give_back([stored, plain]);
    }
    guard.disarm();
    Ok(chunks)
}
