//! The zstd frame of our initrd.

use std::io::Write;

use anyhow::{Context, Result};

/// A window of 32 MiB lets every module refer to every other, which saves more than a higher level does. The kernel's
/// decoder takes up to 128 MiB (lib/decompress_unzstd.c) and allocates no more than the contents are long.
const WINDOW_LOG: u32 = 25;

/// Compresses into one frame whose length is a multiple of 4. One thread: with this window there is one job anyway, and
/// the bytes cannot depend on the machine.
pub fn compress(plain: &[u8], level: i32) -> Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::with_capacity(plain.len() / 2), level)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(plain.len() as u64))?;
    encoder.write_all(plain)?;
    aligned(encoder.finish()?).context("reading back the head of the zstd frame")
}

/// Makes a frame's length a multiple of 4, by empty blocks before its first: the kernel takes an uncompressed archive
/// (the node's token comes as one) only at such an offset, and not every boot loader pads between initrds. Zeros after
/// the frame would do for the kernel, but `zstd -t` would call them garbage. Format: RFC 8878, 3.1.1.
fn aligned(frame: Vec<u8>) -> Option<Vec<u8>> {
    let descriptor = frame.get(4)?;
    let single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = match descriptor >> 6 {
        0 => usize::from(single_segment),
        code => 1 << code,
    };
    let (head, blocks) = frame.split_at_checked(5 + window + dictionary + content)?;
    // An empty raw block is three zero bytes: n of them lengthen the frame by 3n, which is -n modulo 4.
    let empty = vec![0; 3 * (frame.len() % 4)];
    Some([head, &empty, blocks].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_still_the_same_contents() {
        let mut remainders = [0; 4];
        for size in [0usize, 1, 100, 300, 70_000, 3_000_000].into_iter().chain(500..540) {
            let plain: Vec<u8> = (0..size as u32)
                .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
                .take(size)
                .collect();
            let frame = zstd::encode_all(plain.as_slice(), 1).unwrap();
            remainders[frame.len() % 4] += 1;
            let frame = aligned(frame).unwrap();
            assert_eq!(frame.len() % 4, 0);
            assert_eq!(zstd::decode_all(frame.as_slice()).unwrap(), plain);
            let frame = compress(&plain, 3).unwrap();
            assert_eq!((frame.len() % 4, zstd::decode_all(frame.as_slice()).unwrap()), (0, plain));
        }
        assert!(remainders.iter().all(|&count| count > 0), "{remainders:?}");
    }
}
