//! Reading an archive as a stream, member by member, in constant memory.

use std::io::{BufRead, Read};

use super::header::{Dialect, Header};
use super::member::{Kind, Member, Meta, Span, TarError, Time, shown};
use super::pax::Overrides;
use super::{BLOCK, EXTENDED_MAX, sparse};

/// Reads members and their data from a stream.
pub struct Reader<R> {
    input: R,
    /// Bytes consumed so far.
    at: u64,
    /// Data of the current member not yet consumed.
    left: u64,
    /// What pads that data to a whole block.
    padding: u64,
    /// What global extended headers have said so far.
    global: Overrides,
    done: bool,
    /// Whether a global extended header came with the current member.
    said_for_all: bool,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the start of an archive.
    pub fn new(input: R) -> Self {
        Self {
            input,
            at: 0,
            left: 0,
            padding: 0,
            global: Overrides::default(),
            done: false,
            said_for_all: false,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The stream, to go on behind the archive's end.
    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Whether the headers of the current member say something of all members after it.
    pub fn said_for_all(&self) -> bool {
        self.said_for_all
    }

    /// The next member; what is left of the one before is skipped. `None` at the archive's end mark.
    ///
    /// # Errors
    /// See [`TarError`]. An archive without an end mark counts as cut off.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        if self.done {
            return Ok(None);
        }
        self.skip_data()?;
        self.said_for_all = false;
        let mut said = self.global.clone();
        let mut extended = 0;
        loop {
            let at = self.at;
            let block = self.block("where a header should be")?;
            let header = Header(&block);
            if block == [0; BLOCK] {
                return self.end(extended > 0);
            }
            if !header.sum_matches() {
                let problem = if at == 0 { "is this a tar archive?" } else { "its checksum is wrong" };
                return Err(TarError::Header { at, problem });
            }
            let size = header.number(124, 12).and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or(TarError::Header { at, problem: "its size is no number" })?;
            let bad = |problem| TarError::Header { at, problem };
            match header.kind() {
                b'x' | b'X' => said.apply(&self.extended(size, &mut extended)?).map_err(bad)?,
                b'g' => {
                    let bytes = self.extended(size, &mut extended)?;
                    self.said_for_all = true;
                    self.global.apply(&bytes).map_err(bad)?;
                    said.apply(&bytes).map_err(bad)?;
                }
                b'L' => said.path = Some(until_nul(self.extended(size, &mut extended)?)),
                b'K' => said.link = Some(until_nul(self.extended(size, &mut extended)?)),
                // A volume label: a name, no member.
                b'V' => drop(self.extended(size, &mut extended)?),
                _ => return self.member(&header, size, said).map(Some),
            }
        }
    }

    /// The next bytes of the current member's data; empty at its end. Call [`Reader::consume`] with how many were used.
    ///
    /// # Errors
    /// The stream fails or ends.
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let bytes = self.input.fill_buf()?;
        if bytes.is_empty() {
            return Err(TarError::Truncated { at: self.at, what: "in a member's data" });
        }
        Ok(&bytes[..bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))])
    }

    /// Marks `count` bytes of what [`Reader::data`] gave as used.
    pub fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.at += count as u64;
        self.left -= count as u64;
    }

    /// Reads the stream to its end, behind the archive's end mark: padding, which must be zeros. Anything else would be
    /// a second archive that nobody unpacks.
    ///
    /// # Errors
    /// The stream fails, or there is more than padding.
    pub fn drain(&mut self) -> Result<(), TarError> {
        loop {
            let bytes = self.input.fill_buf()?;
            let count = bytes.len();
            if count == 0 {
                return Ok(());
            }
            if bytes.iter().any(|&byte| byte != 0) {
                return Err(TarError::Header {
                    at: self.at,
                    problem: "more data behind the archive's end mark",
                });
            }
            self.input.consume(count);
            self.at += count as u64;
        }
    }

    /// Skips what is left of the current member's data.
    ///
    /// # Errors
    /// The stream fails or ends.
    pub fn skip_data(&mut self) -> Result<(), TarError> {
        self.left += std::mem::take(&mut self.padding);
        while self.left > 0 {
            let count = self.data()?.len();
            self.consume(count);
        }
        Ok(())
    }

    fn expect_data(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn block(&mut self, what: &'static str) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block, what)?;
        Ok(block)
    }

    fn exact(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), TarError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => TarError::Truncated { at: self.at, what },
            _ => TarError::Io(error),
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Two zero blocks end an archive; a stream that ends after one is accepted, as GNU tar does.
    fn end(&mut self, extended: bool) -> Result<Option<Member>, TarError> {
        let at = self.at;
        if extended {
            return Err(TarError::Header { at, problem: "extended headers without a member" });
        }
        match self.block("at its end mark") {
            Ok(block) if block != [0; BLOCK] => {
                return Err(TarError::Header { at, problem: "a lone zero block inside the archive" });
            }
            Ok(_) | Err(TarError::Truncated { .. }) => {}
            Err(error) => return Err(error),
        }
        self.done = true;
        Ok(None)
    }

    /// The data of an extended header. `sum` bounds what one member may bring along.
    fn extended(&mut self, size: u64, sum: &mut u64) -> Result<Vec<u8>, TarError> {
        *sum = sum.saturating_add(size).saturating_add(1);
        if *sum > EXTENDED_MAX {
            return Err(TarError::Header { at: self.at, problem: "its extended headers are too large" });
        }
        let mut bytes = Vec::new();
        let taken = self.input.by_ref().take(size).read_to_end(&mut bytes)? as u64;
        self.at += taken;
        if taken < size {
            return Err(TarError::Truncated { at: self.at, what: "in an extended header" });
        }
        self.expect_data(0);
        self.padding = size.wrapping_neg() % BLOCK as u64;
        self.skip_data()?;
        Ok(bytes)
    }

    /// A member of its header and of what extended headers said; leaves the stream before its data.
    fn member(&mut self, header: &Header<'_>, size: u64, said: Overrides) -> Result<Member, TarError> {
        let mut map_in_data = said.sparse.map_in_data();
        let mut member = describe(header, said)?;
        let refuse = |member: &Member, problem: &str| TarError::Member {
            member: shown(&member.path),
            problem: problem.to_owned(),
        };
        let mut stored = if member.stored == u64::MAX { size } else { member.stored };
        match (member.kind, header.kind()) {
            // Old programs store a link's size; there is no data all the same.
            (Kind::HardLink, _) => stored = 0,
            (Kind::File, b'S') => {
                member.spans = Some(self.old_gnu_map(header).map_err(|problem| name(&member, problem))?);
                let size = header.number(483, 12).and_then(|size| u64::try_from(size).ok());
                member.size = size.ok_or_else(|| refuse(&member, "its real size is no number"))?;
                map_in_data = false;
            }
            // GNU tar's incremental archives list what a directory held.
            (Kind::File, _) | (Kind::Dir, b'D') => {}
            _ if stored > 0 => return Err(refuse(&member, "claims data, and is no file")),
            _ => map_in_data = false,
        }
        if map_in_data && member.kind == Kind::File {
            let (spans, taken) = self.map_before_data(stored).map_err(|problem| name(&member, problem))?;
            member.spans = Some(spans);
            stored -= taken;
        }
        if member.kind == Kind::File {
            member.stored = stored;
            if let Some(spans) = &member.spans {
                sparse::check(spans, member.size, stored).map_err(|problem| refuse(&member, problem))?;
            } else {
                member.size = stored;
            }
        } else {
            (member.size, member.stored, member.spans) = (0, 0, None);
        }
        self.expect_data(stored);
        Ok(member)
    }

    /// The sparse map of an old GNU member: four entries in its header, 21 in each block that follows.
    fn old_gnu_map(&mut self, header: &Header<'_>) -> Result<Vec<Span>, Problem> {
        let mut spans = Vec::new();
        sparse::old_gnu(&header.0[386..482], &mut spans)?;
        let mut more = header.0[482] != 0;
        while more {
            let block = self.block("in a sparse map")?;
            sparse::old_gnu(&block[..504], &mut spans)?;
            more = block[504] != 0;
        }
        Ok(spans)
    }

    /// The sparse map of a PAX 1.0 member, and how many bytes of its data it took.
    fn map_before_data(&mut self, stored: u64) -> Result<(Vec<Span>, u64), Problem> {
        let first = self.block("in a sparse map")?;
        let lines = sparse::pax_10_lines(&first)?;
        let mut blocks = first.to_vec();
        let breaks = |block: &[u8]| block.iter().filter(|&&byte| byte == b'\n').count();
        let mut have = breaks(&first);
        while have < lines {
            let block = self.block("in a sparse map")?;
            have += breaks(&block);
            blocks.extend_from_slice(&block);
            // A line of a map has at most 21 bytes.
            if blocks.len() > 21 * lines + BLOCK {
                return Err(Problem::Text("its sparse map has a bad number"));
            }
        }
        if blocks.len() as u64 > stored {
            return Err(Problem::Text("its sparse map is larger than its data"));
        }
        Ok((sparse::pax_10(&blocks, lines)?, blocks.len() as u64))
    }
}

/// A problem with a member whose name the caller knows, or with the stream.
enum Problem {
    Text(&'static str),
    Stream(TarError),
}

impl From<&'static str> for Problem {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl From<TarError> for Problem {
    fn from(error: TarError) -> Self {
        Self::Stream(error)
    }
}

fn name(member: &Member, problem: Problem) -> TarError {
    match problem {
        Problem::Text(text) => TarError::Member { member: shown(&member.path), problem: text.to_owned() },
        Problem::Stream(error) => error,
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// A member as its header and the extended headers describe it. `stored` is `u64::MAX` where they give no size, and
/// the sizes of sparse files are still open.
fn describe(header: &Header<'_>, said: Overrides) -> Result<Member, TarError> {
    let path = said.sparse.name.or(said.path).unwrap_or_else(|| header.path());
    let refuse = |problem: String| TarError::Member { member: shown(&path), problem };
    let id = |said: Option<u64>, from: usize, what: &str| {
        let id = said.or_else(|| header.number(from, 8).and_then(|id| u64::try_from(id).ok()));
        // The largest number means "do not change" to chown(2).
        id.and_then(|id| u32::try_from(id).ok())
            .filter(|&id| id != u32::MAX)
            .ok_or_else(|| refuse(format!("bad {what}")))
    };
    let (uid, gid) = (id(said.uid, 108, "uid")?, id(said.gid, 116, "gid")?);
    let kind = kind(header.kind(), &path)
        .ok_or_else(|| refuse(format!("its type {:?} is not known", char::from(header.kind()))))?;
    let device = if matches!(kind, Kind::Char | Kind::Block) {
        // V7 headers have no such fields.
        let known = header.dialect() != Dialect::V7;
        let number = |said: Option<u64>, from| {
            let number =
                said.or_else(|| header.number(from, 8).filter(|_| known).and_then(|n| u64::try_from(n).ok()));
            number
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(|| refuse("bad device number".to_owned()))
        };
        (number(said.major, 329)?, number(said.minor, 337)?)
    } else {
        (0, 0)
    };
    let mode = header.number(100, 8).ok_or_else(|| refuse("bad mode".to_owned()))?;
    let secs = header.number(136, 12).ok_or_else(|| refuse("bad mtime".to_owned()))?;
    let meta = Meta {
        mode: u32::try_from(mode & 0o7777).unwrap_or_default(),
        uid,
        gid,
        mtime: said.mtime.unwrap_or(Time { secs, nanos: 0 }),
        xattrs: said.xattrs,
        acl_access: said.acl_access,
        acl_default: said.acl_default,
    };
    Ok(Member {
        kind,
        meta,
        size: said.sparse.size.unwrap_or_default(),
        stored: said.size.unwrap_or(u64::MAX),
        spans: said.sparse.spans,
        link: said.link.unwrap_or_else(|| header.link()),
        device,
        path,
    })
}

/// The kind behind a type byte. A file whose name ends in `/` is a directory: V7 had no other way to say so.
fn kind(byte: u8, path: &[u8]) -> Option<Kind> {
    Some(match byte {
        0 | b'0' | b'7' if path.ends_with(b"/") => Kind::Dir,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::Char,
        b'4' => Kind::Block,
        b'5' | b'D' => Kind::Dir,
        b'6' => Kind::Fifo,
        _ => return None,
    })
}
