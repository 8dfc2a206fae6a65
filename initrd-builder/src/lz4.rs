//! lz4 as the kernel has it for initrds, the "legacy" frame: a magic number, then blocks, each behind its length in four
//! bytes, until the end, or a length of 0. Formats: lz4_Frame_format.md and lz4_Block_format.md of lz4;
//! lib/decompress_unlz4.c of Linux.

use anyhow::{Context, Result, bail};

/// How a stream begins.
pub const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// Decodes the stream at the start of `bytes`: its plain bytes, and how many stored bytes it took.
pub fn decode(bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
    let mut plain = Vec::new();
    let mut at = 0;
    while let Some(word) = bytes.get(at..at + 4) {
        match u32::from_le_bytes([word[0], word[1], word[2], word[3]]) {
            0 => break,
            _ if word == MAGIC => at += 4,
            length => {
                let start = at + 4;
                at = start + usize::try_from(length)?;
                let block = bytes.get(start..at).context("an lz4 block is cut off")?;
                decode_block(block, &mut plain)
                    .with_context(|| format!("decoding the lz4 block at byte {start}"))?;
            }
        }
    }
    Ok((plain, at))
}

/// A block is sequences: literals, then a copy of what is `offset` bytes back; the last has literals only.
fn decode_block(block: &[u8], plain: &mut Vec<u8>) -> Result<()> {
    let begin = plain.len();
    let mut rest = block;
    loop {
        let token = take(&mut rest, 1)?[0];
        let literals = length(token >> 4, &mut rest)?;
        plain.extend_from_slice(take(&mut rest, literals)?);
        if rest.is_empty() {
            return Ok(());
        }
        let offset = take(&mut rest, 2)?;
        let offset = usize::from(u16::from_le_bytes([offset[0], offset[1]]));
        let copied = length(token & 15, &mut rest)? + 4;
        if offset == 0 || offset > plain.len() - begin {
            bail!("a copy reaches back before the block");
        }
        // Source and target may overlap: byte by byte.
        for from in plain.len() - offset..plain.len() - offset + copied {
            plain.push(plain[from]);
        }
    }
}

/// 15 goes on in further bytes, 255 in one more after each.
fn length(nibble: u8, rest: &mut &[u8]) -> Result<usize> {
    let mut length = usize::from(nibble);
    let mut more = nibble == 15;
    while more {
        let byte = take(rest, 1)?[0];
        length += usize::from(byte);
        more = byte == 255;
    }
    Ok(length)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count).context("the block is cut off")?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'abcabcabcabcabcabcabcabcabcabcabcabcXYZ12' | lz4 -l -9`.
    const STREAM: &[u8] = b"\x02\x21\x4c\x18\x0d\0\0\0\x3fabc\x03\0\x0e\x50XYZ12";

    #[test]
    fn overlapping_copies_and_the_end_mark() {
        let (plain, used) = decode(&[STREAM, &[0; 6], b"next"].concat()).unwrap();
        assert_eq!(plain, b"abcabcabcabcabcabcabcabcabcabcabcabcXYZ12");
        assert_eq!(used, STREAM.len());
    }

    #[test]
    fn what_is_cut_off_or_wrong_is_an_error() {
        assert!(decode(&STREAM[..STREAM.len() - 1]).is_err());
        let mut wrong = STREAM.to_vec();
        wrong[12] = 9;
        assert!(format!("{:#}", decode(&wrong).unwrap_err()).contains("reaches back"));
    }
}
