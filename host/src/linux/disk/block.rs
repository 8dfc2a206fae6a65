//! A block device as the GPT code sees it: aligned reads and writes, and a flush that means it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, ensure};
use rustix::fs::OFlags;

/// Memory, file offset and length of direct I/O are multiples of this; it serves sectors of 512 bytes too.
const ALIGN: usize = 4096;

/// Sectors that can be read, written and flushed. Offsets and lengths are in bytes, multiples of the sector.
pub trait Block {
    /// Logical sector size in bytes.
    fn sector(&self) -> u64;
    /// Size in bytes.
    fn size(&self) -> u64;
    /// Reads `length` bytes.
    ///
    /// # Errors
    /// The device's.
    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Writes bytes; they are safe after the next [`Block::flush`].
    ///
    /// # Errors
    /// The device's.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns once all that was written is on stable storage.
    ///
    /// # Errors
    /// The device's.
    fn flush(&mut self) -> io::Result<()>;
}

/// A whole disk, open for direct I/O: what is written beside a mounted partition must not drag along a stale page of
/// the disk's own cache, and what is read back must come from the device.
pub struct Device {
    file: File,
    sector: u64,
    size: u64,
}

impl Device {
    /// Opens a disk for reading.
    ///
    /// # Errors
    /// When it cannot be opened, or is no block device.
    pub fn read_only(path: &Path) -> anyhow::Result<Self> {
        Self::open(path, OpenOptions::new().read(true), OFlags::empty())
    }

    /// Opens a disk for writing.
    ///
    /// # Errors
    /// As for [`Device::read_only`].
    pub fn writable(path: &Path) -> anyhow::Result<Self> {
        Self::open(path, OpenOptions::new().read(true).write(true), OFlags::empty())
    }

    /// Opens a disk for writing that nobody else uses: no mount, no swap, no RAID or mapping, of it or its partitions.
    ///
    /// # Errors
    /// As for [`Device::read_only`]; EBUSY if someone uses it.
    pub fn exclusive(path: &Path) -> anyhow::Result<Self> {
        Self::open(path, OpenOptions::new().read(true).write(true), OFlags::EXCL)
    }

    fn open(path: &Path, options: &mut OpenOptions, extra: OFlags) -> anyhow::Result<Self> {
        let flags = OFlags::DIRECT | OFlags::CLOEXEC | extra;
        let file = options.custom_flags(flags.bits() as i32).open(path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        let kind = file.metadata().with_context(|| format!("looking at {}", path.display()))?.file_type();
        ensure!(kind.is_block_device(), "{} is no block device", path.display());
        let sector = rustix::fs::ioctl_blksszget(&file)
            .with_context(|| format!("asking for the sector size of {}", path.display()))?;
        let size = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))
            .with_context(|| format!("asking for the size of {}", path.display()))?;
        Ok(Self { file, sector: u64::from(sector), size })
    }

    /// The open file, for locks and ioctls.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Block for Device {
    fn sector(&self) -> u64 {
        self.sector
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut buffer = Aligned::new(length);
        self.file.read_exact_at(buffer.bytes_mut(), offset)?;
        Ok(buffer.bytes_mut().to_vec())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut buffer = Aligned::new(bytes.len());
        buffer.bytes_mut().copy_from_slice(bytes);
        self.file.write_all_at(buffer.bytes_mut(), offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A zeroed buffer at an aligned address.
struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGN];
        let start = memory.as_ptr().align_offset(ALIGN);
        Self { memory, start, length }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}
