//! The 512-byte header block: its fields, and the two ways to write a number in them.

use super::BLOCK;

/// A header block.
pub(super) struct Header<'a>(pub &'a [u8; BLOCK]);

/// Which dialect a header is in: it decides what bytes 345 to 512 mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Before POSIX: nothing there.
    V7,
    /// POSIX: a prefix of the path.
    Ustar,
    /// GNU before PAX: times and a sparse map.
    Gnu,
}

impl<'a> Header<'a> {
    /// Bytes of a text field, up to its first NUL.
    fn text(&self, from: usize, len: usize) -> &'a [u8] {
        let field = &self.0[from..from + len];
        field.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    pub fn dialect(&self) -> Dialect {
        match &self.0[257..265] {
            b"ustar  \0" => Dialect::Gnu,
            magic if magic.starts_with(b"ustar") => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }

    pub fn path(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        match self.dialect() {
            Dialect::Ustar if self.0[345] != 0 => [self.text(345, 155), b"/", name].concat(),
            _ => name.to_vec(),
        }
    }

    pub fn link(&self) -> Vec<u8> {
        self.text(157, 100).to_vec()
    }

    pub fn kind(&self) -> u8 {
        self.0[156]
    }

    pub fn number(&self, from: usize, len: usize) -> Option<i64> {
        number(&self.0[from..from + len])
    }

    /// Whether the checksum is right. Some old programs summed signed bytes: GNU tar takes both, so do we.
    pub fn sum_matches(&self) -> bool {
        let blanked = |index: usize, byte: u8| if (148..156).contains(&index) { b' ' } else { byte };
        let bytes = || self.0.iter().enumerate().map(|(index, &byte)| blanked(index, byte));
        let unsigned: i64 = bytes().map(i64::from).sum();
        let stored = self.number(148, 8);
        stored == Some(unsigned) || stored == Some(bytes().map(|byte| i64::from(byte.cast_signed())).sum())
    }
}

/// A number: octal digits, or base 256 if the first byte's top bit is set (big-endian two's complement without that
/// bit; the bit below it is the sign). An empty field is 0. `None` if it is no number, or does not fit.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let start =
            if first & 0x40 != 0 { -1 << 6 | i64::from(first & 0x3f) } else { i64::from(first & 0x3f) };
        return rest.iter().try_fold(start, |sum, &byte| sum.checked_mul(256)?.checked_add(i64::from(byte)));
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|&byte| byte == b' ' || byte == 0).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0i64, |sum, &digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"\0\0\0\0", Some(0)),
            (b"0000648\0", None),
            (b"-1\0", None),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }
}
