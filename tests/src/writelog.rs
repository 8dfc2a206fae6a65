//! Every write of a machine to a disk, as QEMU's `blklogwrites` records them, and what a power cut leaves of them.
//!
//! The format is that of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst): a superblock
//! of one sector, then for each request a header, padded to a sector, and its data. Numbers are little-endian.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
/// What a disk writes in one piece.
const BLOCK: usize = 4096;
/// What `tests/guest` writes when an op begins: this, the op's number, the op.
const MARK: &[u8] = b"camphor op ";

/// A recorded log.
pub struct Log {
    file: File,
    requests: Vec<Request>,
    /// The op that each mark begins, and the place of the mark among the requests.
    marks: Vec<(usize, String)>,
}

#[derive(Clone, Copy)]
struct Request {
    offset: u64,
    length: u64,
    flags: u64,
    /// Where its data are in the log.
    data: u64,
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

impl Log {
    /// Reads the headers of a log, whose machine has ended. The superblock's count may be behind: what is no request ends it. `None`
    /// if there are fewer than it says: QEMU takes the place for a zeroing's data after it wrote the header, and if another request
    /// comes between, nobody knows what is where.
    ///
    /// # Errors
    /// When it is no log, or marks nothing.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let what = || format!("reading the log of writes {}", path.display());
        let file = File::open(path).with_context(what)?;
        let size = file.metadata().with_context(what)?.len();
        let [magic, version, least, sector] = numbers(&file, 0).with_context(what)?;
        let sector = sector & 0xffff_ffff;
        ensure!(magic == MAGIC && version == 1 && sector == 512, "{} is no log of writes", path.display());
        let (mut requests, mut marks) = (Vec::new(), Vec::new());
        let mut at = sector;
        while at + sector <= size {
            let [place, count, flags, _] = numbers(&file, at).with_context(what)?;
            if count == 0 && flags == 0 {
                break;
            }
            let request =
                Request { offset: place * sector, length: count * sector, flags, data: at + sector };
            if let Some(op) = mark(&file, &request).with_context(what)? {
                marks.push((requests.len(), op));
            }
            requests.push(request);
            at += sector + if flags & DISCARD == 0 { request.length } else { 0 };
        }
        if (requests.len() as u64) < least {
            return Ok(None);
        }
        ensure!(!marks.is_empty(), "{} shows no op", path.display());
        Ok(Some(Self { file, requests, marks }))
    }

    /// How many ops and requests it has.
    pub fn counts(&self) -> (usize, usize) {
        (self.marks.len(), self.requests.len())
    }

    /// Some place within the op `index`, and the op again.
    pub fn within(&self, index: usize, random: &mut Random) -> (usize, usize) {
        let begin = self.marks[index].0;
        let end = self.marks.get(index + 1).map_or(self.requests.len(), |(next, _)| *next);
        (begin + 1 + random.below(end - begin), index)
    }

    /// The end of everything, and the last op.
    pub fn end(&self) -> (usize, usize) {
        (self.requests.len(), self.marks.len() - 1)
    }

    /// The end of everything, or up to two requests before it, and the last op.
    pub fn late(&self, random: &mut Random) -> (usize, usize) {
        let (end, op) = self.end();
        (end - random.below(3), op)
    }

    /// The number and the words of an op.
    pub fn op(&self, index: usize) -> &str {
        &self.marks[index].1
    }

    /// Makes the disk at `image`, which is as it was when the recording began, what it is when the power goes after `cut`
    /// requests: of the writes that no flush followed, each is there, or not, or in parts.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn replay(&self, image: &Path, cut: usize, random: &mut Random) -> Result<()> {
        let done = &self.requests[..cut];
        let flushed = done.iter().rposition(|request| request.flags & FLUSH != 0).unwrap_or(0);
        let disk = fs::OpenOptions::new().write(true).open(image);
        let disk = disk.with_context(|| format!("opening {}", image.display()))?;
        for (index, request) in done.iter().enumerate() {
            let is_safe = index < flushed || request.flags & FUA != 0;
            // A third each: whole, in parts, not at all.
            let fate = if is_safe { 0 } else { random.below(3) };
            let mut is_there = || fate == 0 || (fate == 1 && random.below(2) == 0);
            self.repeat(request, &disk, &mut is_there)
                .with_context(|| format!("writing {}", image.display()))?;
        }
        Ok(())
    }

    /// Block by block. A discard may do nothing, and here it does not: what was there comes back, which is the worse case.
    fn repeat(&self, request: &Request, disk: &File, is_there: &mut dyn FnMut() -> bool) -> Result<()> {
        if request.flags & DISCARD != 0 {
            return Ok(());
        }
        for from in (0..request.length).step_by(BLOCK) {
            if is_there() {
                let length = usize::try_from(request.length - from)?.min(BLOCK);
                let mut data = vec![0; length];
                self.file.read_exact_at(&mut data, request.data + from)?;
                disk.write_all_at(&data, request.offset + from)?;
            }
        }
        Ok(())
    }
}

/// Four numbers at a place of the file.
fn numbers(file: &File, at: u64) -> Result<[u64; 4]> {
    let mut numbers = [0; 4];
    for (index, number) in (0..).zip(&mut numbers) {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at + index * 8)?;
        *number = u64::from_le_bytes(bytes);
    }
    Ok(numbers)
}

/// The op that the request marks, if it does.
fn mark(file: &File, request: &Request) -> Result<Option<String>> {
    if request.length != 4096 || request.flags & DISCARD != 0 {
        return Ok(None);
    }
    let mut data = vec![0; 4096];
    file.read_exact_at(&mut data, request.data)?;
    let text = data.strip_prefix(MARK).and_then(|rest| rest.split(|byte| *byte == 0).next());
    Ok(text.map(|text| String::from_utf8_lossy(text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sector of four numbers.
    fn header(numbers: [u64; 4]) -> Vec<u8> {
        let mut sector: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        sector.resize(512, 0);
        sector
    }

    fn write(place: u64, data: &[u8]) -> Vec<u8> {
        let mut data = data.to_vec();
        data.resize(BLOCK, 0);
        [header([place, 8, 0, 0]), data].concat()
    }

    #[test]
    fn what_was_flushed_stays_and_the_rest_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let (path, disk) = (folder.path().join("log"), folder.path().join("disk"));
        let mut requests = [
            header([MAGIC, 1, 4, 512]),
            write(1024, b"camphor op 0 write a table\0"),
            write(0, b"safe"),
            header([0, 0, FLUSH, 0]),
            header([0, 2048, DISCARD, 0]),
            write(1024, b"camphor op 1 commit\0"),
            write(8, b"lost?"),
        ];
        // Behind the last one the log was never written.
        fs::write(&path, [requests.concat(), vec![0; 4096]].concat()).unwrap();
        let log = Log::open(&path).unwrap().unwrap();
        assert_eq!(log.counts(), (2, 6));
        requests[0] = header([MAGIC, 1, 7, 512]);
        let short = folder.path().join("short");
        fs::write(&short, [requests.concat(), vec![0; 4096]].concat()).unwrap();
        assert!(Log::open(&short).unwrap().is_none(), "it says that there are more");
        assert_eq!(log.op(log.within(0, &mut Random(1)).1), "0 write a table");
        let (late, op) = log.late(&mut Random(1));
        assert!((4..=6).contains(&late));
        assert_eq!(log.op(op), "1 commit");
        let mut found = [0, 0];
        for seed in 0..60 {
            fs::write(&disk, vec![b'-'; 1 << 20]).unwrap();
            log.replay(&disk, 6, &mut Random(seed)).unwrap();
            let bytes = fs::read(&disk).unwrap();
            assert!(bytes.starts_with(b"safe"));
            found[usize::from(bytes[4096..].starts_with(b"lost?"))] += 1;
        }
        // Half of them: a third is there, a third is there in parts, and this write has one part.
        assert!(found.iter().all(|count| (15..=45).contains(count)), "{found:?}");
    }
}
