//! Physical volumes of LVM2: the label, and the text that describes the group, by lib/format_text/layout.h and
//! format-text.c of LVM2's sources. Numbers are little-endian.
//!
//! A label is in one of the first four sectors of 512 bytes. It names the metadata areas, each of which is a ring of texts behind
//! a header of one sector; the header says which text is the valid one. [`text`] reads that, [`group`] understands it.

pub mod back;
pub mod group;
pub mod text;

use std::ops::Range;

use anyhow::{Context as _, ensure};

use super::bytes::{Bytes, u32_at, u64_at};

const SECTOR: usize = 512;
/// Sectors in which a label may be (`LABEL_SCAN_SECTORS`).
const LABEL_SECTORS: u64 = 4;
const LABEL: &[u8] = b"LABELONE";
const LABEL_TYPE: &[u8] = b"LVM2 001";
/// `FMTT_MAGIC`.
const AREA: &[u8] = b" LVM2 x[5A%r0N*>";
/// Bytes of a physical volume's id.
const ID: usize = 32;
/// Metadata areas of one physical volume that are looked at; LVM makes two at most.
const AREAS_MAX: usize = 8;
/// Longer texts are not believed: LVM's areas have 1 MiB unless somebody asks for more.
const TEXT_MAX: u64 = 16 << 20;
/// Where in a header its [`Place`] is.
const PLACE: usize = 40;
/// `RAW_LOCN_IGNORED`: the area is kept empty on purpose.
const IGNORED: u32 = 1;
/// `INITIAL_CRC` of lib/misc/crc.h. The polynomial is that of everybody's CRC-32, without its inversions.
const INITIAL_CRC: u32 = 0xf597_a6cf;

/// A physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalVolume {
    /// Its id, as in the group's text but without the dashes there.
    pub id: String,
    /// Where its metadata areas are.
    areas: Vec<Range<u64>>,
}

/// Reads the label, if there is one.
///
/// # Errors
/// When the device cannot be read, or the label is damaged.
pub fn label(bytes: &mut dyn Bytes) -> anyhow::Result<Option<PhysicalVolume>> {
    let length = bytes.size().min(LABEL_SECTORS * SECTOR as u64);
    let start = bytes.read(0, length as usize).context("looking for a label of LVM")?;
    let found = (0..).zip(start.chunks_exact(SECTOR)).find(|(_, sector)| sector.starts_with(LABEL));
    let Some((number, sector)) = found else { return Ok(None) };
    let volume = parse_label(sector, number);
    volume.context("it is a physical volume of LVM whose label is damaged").map(Some)
}

/// `struct label_header`, then `struct pv_header`: id, size, and two lists of places, each ended by zeroes: of the data, and
/// of the metadata areas.
fn parse_label(sector: &[u8], number: u64) -> anyhow::Result<PhysicalVolume> {
    let (sum, wanted) = (crc(&sector[20..]), u32_at(sector, 16));
    ensure!(sum == wanted, "its checksum is {sum:08x}, not {wanted:08x}");
    ensure!(u64_at(sector, 8) == number, "it was written for another sector");
    ensure!(&sector[24..32] == LABEL_TYPE, "its type is unknown");
    let header = sector.get(u32_at(sector, 20) as usize..).context("its header is elsewhere")?;
    let id = header.get(..ID).filter(|id| id.iter().all(u8::is_ascii_alphanumeric));
    let id = String::from_utf8(id.context("it has no id")?.to_vec())?;
    let places = header.get(ID + 8..).unwrap_or_default().chunks_exact(16);
    let mut places = places.map(|place| (u64_at(place, 0), u64_at(place, 8)));
    places.by_ref().take_while(|(offset, _)| *offset != 0).for_each(drop);
    let areas = places.take_while(|(offset, _)| *offset != 0).take(AREAS_MAX);
    let areas = areas.map(|(offset, size)| Some(offset..offset.checked_add(size)?)).collect::<Option<_>>();
    Ok(PhysicalVolume { id, areas: areas.context("a metadata area has no end")? })
}

/// Where the group of a physical volume is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    /// On itself: the valid text of each metadata area, which are the same if nothing went wrong.
    Here(Vec<String>),
    /// On other physical volumes: large groups do that.
    Elsewhere,
    /// Nowhere: it is in no group.
    None,
}

impl PhysicalVolume {
    /// Reads what describes its group. An area that is damaged is left if there is another.
    ///
    /// # Errors
    /// When there are areas, and not one can be read.
    pub fn description(&self, bytes: &mut dyn Bytes) -> anyhow::Result<Description> {
        let read = self.areas.iter().map(|area| area_text(bytes, area));
        let (good, bad): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
        if let (true, Some(Err(error))) = (good.is_empty(), bad.into_iter().next()) {
            return Err(error).context("reading a metadata area of LVM");
        }
        let areas: Vec<Area> = good.into_iter().flatten().collect();
        if areas.iter().all(|area| *area == Area::Ignored) {
            return Ok(Description::Elsewhere);
        }
        let texts: Vec<String> = areas.into_iter().filter_map(Area::text).collect();
        Ok(if texts.is_empty() { Description::None } else { Description::Here(texts) })
    }
}

/// What is in a metadata area.
#[derive(PartialEq, Eq)]
enum Area {
    Text(String),
    Empty,
    Ignored,
}

impl Area {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Empty | Self::Ignored => None,
        }
    }
}

/// Where in an area its committed text is (`struct raw_locn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// From the area's first byte.
    offset: u64,
    size: u64,
    sum: u32,
    flags: u32,
}

/// What the header of an area says. It has a second place, of a text that was about to be, which nobody needs.
fn place(bytes: &mut dyn Bytes, area: &Range<u64>) -> anyhow::Result<Place> {
    let header = bytes.read(area.start, SECTOR).context("reading its header")?;
    let sum = crc(&header[4..]);
    ensure!(sum == u32_at(&header, 0) && &header[4..20] == AREA, "its header is damaged");
    ensure!(u32_at(&header, 20) == 1, "its version is unknown");
    let room = area.end - area.start;
    ensure!(
        u64_at(&header, 24) == area.start && u64_at(&header, 32) == room,
        "its header is of another area"
    );
    Ok(Place {
        offset: u64_at(&header, PLACE),
        size: u64_at(&header, PLACE + 8),
        sum: u32_at(&header, PLACE + 16),
        flags: u32_at(&header, PLACE + 20),
    })
}

fn area_text(bytes: &mut dyn Bytes, area: &Range<u64>) -> anyhow::Result<Area> {
    let place = place(bytes, area)?;
    if place.flags & IGNORED != 0 {
        return Ok(Area::Ignored);
    }
    if place.offset == 0 {
        return Ok(Area::Empty);
    }
    let text = text_at(bytes, area, place.offset, place.size)?;
    let sum = crc(&text);
    ensure!(sum == place.sum, "its text's checksum is {sum:08x}, not {:08x}", place.sum);
    Ok(Area::Text(String::from_utf8(text).context("its text is no UTF-8")?))
}

/// A text of an area. Where it comes to the area's end it goes on behind the header.
fn text_at(bytes: &mut dyn Bytes, area: &Range<u64>, offset: u64, size: u64) -> anyhow::Result<Vec<u8>> {
    let room = area.end - area.start;
    let ring = SECTOR as u64..room;
    ensure!(ring.contains(&offset) && size <= room - SECTOR as u64, "its text lies elsewhere");
    ensure!(size <= TEXT_MAX, "its text has {size} bytes");
    let first = size.min(room - offset);
    let mut text = bytes.read(area.start + offset, first as usize).context("reading its text")?;
    let rest = bytes.read(area.start + SECTOR as u64, (size - first) as usize);
    text.extend(rest.context("reading its text")?);
    Ok(text)
}

/// LVM's checksum.
fn crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!INITIAL_CRC);
    hasher.update(bytes);
    !hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AREA_START: usize = 4096;
    const ROOM: usize = 4096;

    /// A volume with one metadata area, whose text begins at `offset` of the area.
    fn volume(text: &[u8], offset: usize) -> Vec<u8> {
        let mut bytes = vec![0; 16 << 10];
        let put = |bytes: &mut Vec<u8>, at: usize, raw: &[u8]| bytes[at..at + raw.len()].copy_from_slice(raw);
        let number = |bytes: &mut Vec<u8>, at: usize, value: usize| put(bytes, at, &value.to_le_bytes());
        put(&mut bytes, 512, LABEL);
        number(&mut bytes, 512 + 8, 1);
        number(&mut bytes, 512 + 20, 32);
        put(&mut bytes, 512 + 24, LABEL_TYPE);
        put(&mut bytes, 512 + 32, &[b'a'; ID]);
        number(&mut bytes, 512 + 72, 1 << 20);
        number(&mut bytes, 512 + 104, AREA_START);
        number(&mut bytes, 512 + 112, ROOM);
        let sum = crc(&bytes[532..1024]);
        put(&mut bytes, 512 + 16, &sum.to_le_bytes());
        put(&mut bytes, AREA_START + 4, AREA);
        put(&mut bytes, AREA_START + 20, &[1]);
        number(&mut bytes, AREA_START + 24, AREA_START);
        number(&mut bytes, AREA_START + 32, ROOM);
        number(&mut bytes, AREA_START + 40, offset);
        number(&mut bytes, AREA_START + 48, text.len());
        put(&mut bytes, AREA_START + 56, &crc(text).to_le_bytes());
        for (index, byte) in text.iter().enumerate() {
            let at = offset + index;
            bytes[AREA_START + if at < ROOM { at } else { at - ROOM + SECTOR }] = *byte;
        }
        summed(bytes)
    }

    fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
        let sum = crc(&bytes[AREA_START + 4..AREA_START + SECTOR]);
        bytes[AREA_START..AREA_START + 4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn description(mut bytes: Vec<u8>) -> anyhow::Result<Description> {
        label(&mut bytes)?.unwrap().description(&mut bytes)
    }

    #[test]
    fn texts_go_on_at_the_beginning() {
        for offset in [512, 1024, 4080, 4095] {
            let here = Description::Here(vec!["vg { seqno = 1 }".into()]);
            assert_eq!(description(volume(b"vg { seqno = 1 }", offset)).unwrap(), here, "{offset}");
        }
        assert_eq!(description(volume(b"", 0)).unwrap(), Description::None);
        let mut ignored = volume(b"", 0);
        ignored[AREA_START + 60] = 1;
        assert_eq!(description(summed(ignored)).unwrap(), Description::Elsewhere);
        assert_eq!(label(&mut vec![0; 4096]).unwrap(), None);
    }

    /// What is said after a change of one byte.
    fn changed(at: usize, value: u8, sum: bool) -> String {
        let mut bytes = volume(b"vg { seqno = 1 }", 1024);
        bytes[at] = value;
        format!("{:#}", description(if sum { summed(bytes) } else { bytes }).unwrap_err())
    }

    #[test]
    fn damage_is_seen() {
        assert!(changed(600, 1, false).contains("label is damaged: its checksum is"));
        assert!(changed(AREA_START + 100, 1, false).contains("its header is damaged"));
        assert!(changed(AREA_START + 1024, 1, false).contains("its text's checksum is"));
        assert!(changed(AREA_START + 24, 1, true).contains("of another area"));
        assert!(changed(AREA_START + 41, 1, true).contains("lies elsewhere"), "in the header");
        assert!(changed(AREA_START + 42, 1, true).contains("lies elsewhere"), "behind the end");
        assert!(changed(AREA_START + 50, 1, true).contains("lies elsewhere"), "too long");
    }

    proptest! {
        /// Whatever the places say, it is read or refused.
        #[test]
        fn hostile_places(numbers in prop::collection::vec(any::<u64>(), 4), header in 0..5_usize) {
            let mut bytes = volume(b"vg { seqno = 1 }", 1024);
            let at = [512 + 72, 512 + 88, 512 + 104, AREA_START + 24, AREA_START + 40][header];
            for (index, number) in numbers.iter().enumerate() {
                bytes[at + 8 * index..][..8].copy_from_slice(&number.to_le_bytes());
            }
            let sum = crc(&bytes[532..1024]);
            bytes[528..532].copy_from_slice(&sum.to_le_bytes());
            let _ = description(summed(bytes));
        }
    }
}
