//! Maps of sparse files: old GNU (in the header and the blocks after it), PAX 0.0 and 0.1 (keywords), PAX 1.0 (before
//! the data). Each ends as spans that ascend, do not overlap and lie within the file.

use super::header::number;
use super::member::Span;
use super::{BLOCK, SPANS_MAX};

/// Bytes of one entry of an old GNU map: offset and length.
const ENTRY: usize = 24;

/// Adds the entries of an old GNU map to `spans`; an empty entry ends the map.
pub(super) fn old_gnu(entries: &[u8], spans: &mut Vec<Span>) -> Result<(), &'static str> {
    for entry in entries.chunks_exact(ENTRY) {
        if entry[0] == 0 || entry[ENTRY / 2] == 0 {
            break;
        }
        let parsed = (number(&entry[..12]).map(u64::try_from), number(&entry[12..]).map(u64::try_from));
        let (Some(Ok(offset)), Some(Ok(len))) = parsed else { return Err("its sparse map has a bad number") };
        push(spans, Span { offset, len })?;
    }
    Ok(())
}

/// Adds a span, within the limit.
pub(super) fn push(spans: &mut Vec<Span>, span: Span) -> Result<(), &'static str> {
    if spans.len() == SPANS_MAX {
        return Err("its sparse map has too many entries");
    }
    spans.push(span);
    Ok(())
}

/// PAX 0.1: `offset,length,offset,length...`.
pub(super) fn pax_01(value: &[u8]) -> Result<Vec<Span>, &'static str> {
    let numbers = value.split(|&byte| byte == b',').map(decimal).collect::<Option<Vec<_>>>();
    let numbers = numbers.ok_or("its sparse map has a bad number")?;
    let (pairs, []) = numbers.as_chunks::<2>() else {
        return Err("its sparse map has an odd number of numbers");
    };
    let mut spans = Vec::new();
    for &[offset, len] in pairs {
        push(&mut spans, Span { offset, len })?;
    }
    Ok(spans)
}

/// PAX 1.0: lines before the data, in whole blocks: the number of entries, then offset and length of each. How many
/// lines there are, from the first block.
pub(super) fn pax_10_lines(block: &[u8; BLOCK]) -> Result<usize, &'static str> {
    let line = block.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = decimal(line).ok_or("its sparse map has a bad number")?;
    match usize::try_from(count) {
        Ok(count) if count <= SPANS_MAX => Ok(1 + 2 * count),
        _ => Err("its sparse map has too many entries"),
    }
}

/// PAX 1.0: the entries, from all the map's blocks.
pub(super) fn pax_10(blocks: &[u8], lines: usize) -> Result<Vec<Span>, &'static str> {
    let numbers = blocks.split(|&byte| byte == b'\n').take(lines).skip(1).map(decimal);
    let numbers = numbers.collect::<Option<Vec<_>>>().ok_or("its sparse map has a bad number")?;
    let (pairs, _) = numbers.as_chunks::<2>();
    Ok(pairs.iter().map(|&[offset, len]| Span { offset, len }).collect())
}

/// A decimal number without sign, spaces or an empty text.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, &digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Checks a map against the sizes: ascending, within `size`, and as many bytes as are `stored`.
pub(super) fn check(spans: &[Span], size: u64, stored: u64) -> Result<(), &'static str> {
    let mut end = 0;
    let mut sum = 0u64;
    for span in spans {
        if span.offset < end {
            return Err("the spans of its sparse map overlap");
        }
        end = span.offset.checked_add(span.len).ok_or("its sparse map has a bad number")?;
        sum += span.len;
    }
    if end > size {
        return Err("its sparse map goes beyond its size");
    }
    if sum != stored {
        return Err("its sparse map does not add up to its data");
    }
    Ok(())
}
