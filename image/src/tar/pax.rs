//! PAX extended headers: records `LENGTH KEY=VALUE\n`, and what each key means for a member.

use base64ct::{Base64, Base64Unpadded, Encoding};

use super::member::{Span, Time};
use super::sparse;

/// What extended headers say; `None` where they say nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Time>,
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub acl_access: Option<Vec<u8>>,
    pub acl_default: Option<Vec<u8>>,
    pub sparse: Sparse,
}

/// The `GNU.sparse.*` keywords.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    /// Of 0.0 and 0.1; 1.0's comes with the data.
    pub spans: Option<Vec<Span>>,
    /// 0.0: an offset whose length has not come yet.
    offset: Option<u64>,
}

type Problem = &'static str;

/// The records of an extended header: keys and values.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Problem>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let record = split(bytes);
        bytes = record.map_or(&[][..], |(_, _, rest)| rest);
        Some(record.map(|(key, value, _)| (key, value)).ok_or("an extended header has a malformed record"))
    })
}

/// The first record's key and value, and what comes after it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(sparse::decimal(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

impl Overrides {
    /// Applies a header's records over what is there. An empty value takes an override back (POSIX).
    pub fn apply(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        for record in records(bytes) {
            let (key, value) = record?;
            self.apply_record(key, value)?;
        }
        Ok(())
    }

    fn apply_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        let bytes = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = bytes.map(<[u8]>::to_vec),
            b"linkpath" => self.link = bytes.map(<[u8]>::to_vec),
            b"size" => self.size = bytes.map(|value| number(value, "its size")).transpose()?,
            b"uid" => self.uid = bytes.map(|value| number(value, "its uid")).transpose()?,
            b"gid" => self.gid = bytes.map(|value| number(value, "its gid")).transpose()?,
            b"mtime" => {
                self.mtime = bytes.map(|value| time(value).ok_or("its mtime is no number")).transpose()?
            }
            b"SCHILY.devmajor" => self.major = bytes.map(|value| number(value, "its major")).transpose()?,
            b"SCHILY.devminor" => self.minor = bytes.map(|value| number(value, "its minor")).transpose()?,
            b"SCHILY.acl.access" => self.acl_access = bytes.map(<[u8]>::to_vec),
            b"SCHILY.acl.default" => self.acl_default = bytes.map(<[u8]>::to_vec),
            b"RHT.security.selinux" => self.set_xattr(b"security.selinux".to_vec(), value.to_vec()),
            _ => self.apply_prefixed(key, value)?,
        }
        Ok(())
    }

    fn apply_prefixed(&mut self, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            self.set_xattr(gnu_name(name), value.to_vec());
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let name = url_name(name).ok_or("an attribute's name is malformed")?;
            let value = libarchive_value(value).ok_or("an attribute's value is not base64")?;
            self.set_xattr(name, value);
        } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
            self.sparse.apply(key, value)?;
        }
        Ok(())
    }

    /// libarchive writes each attribute twice, in its own form and in star's: the same name replaces.
    fn set_xattr(&mut self, name: Vec<u8>, value: Vec<u8>) {
        match self.xattrs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.xattrs.push((name, value)),
        }
    }
}

impl Sparse {
    fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        let number = || number(value, "its sparse map");
        match key {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"name" => self.name = Some(value.to_vec()),
            b"realsize" | b"size" => self.size = Some(number()?),
            b"map" => self.spans = Some(if value.is_empty() { Vec::new() } else { sparse::pax_01(value)? }),
            b"offset" => self.offset = Some(number()?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or("its sparse map has a length without an offset")?;
                sparse::push(self.spans.get_or_insert_default(), Span { offset, len: number()? })?;
            }
            // 0.0 says first how many there will be; with none, the file is one hole.
            b"numblocks" => self.spans = Some(Vec::new()),
            _ => {}
        }
        Ok(())
    }

    /// Whether the map stands before the data (format 1.0).
    pub fn map_in_data(&self) -> bool {
        self.major == Some(1) && self.minor == Some(0)
    }
}

fn number(value: &[u8], what: &'static str) -> Result<u64, Problem> {
    sparse::decimal(value).ok_or(what)
}

/// `[-]SECONDS[.FRACTION]`; digits beyond nanoseconds are cut off.
fn time(value: &[u8]) -> Option<Time> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let secs = i64::try_from(sparse::decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos =
        (0..9).fold(0, |sum, index| sum * 10 + fraction.get(index).map_or(0, |d| u32::from(d - b'0')));
    Some(match (negative, nanos) {
        (false, _) => Time { secs, nanos },
        (true, 0) => Time { secs: -secs, nanos },
        (true, _) => Time { secs: -secs - 1, nanos: 1_000_000_000 - nanos },
    })
}

/// GNU tar writes `%` and `=` of a name as `%25` and `%3D` (its xattrs.c, xattr_encode_keyword).
fn gnu_name(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match (byte, after) {
            (b'%', [b'2', b'5', after @ ..]) => {
                rest = after;
                b'%'
            }
            (b'%', [b'3', b'D', after @ ..]) => {
                rest = after;
                b'='
            }
            _ => byte,
        });
    }
    decoded
}

/// libarchive writes names URL-encoded.
fn url_name(name: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || bytes.next().and_then(|&digit| char::from(digit).to_digit(16));
            u8::try_from(digit()? << 4 | digit()?).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

/// libarchive writes values as base64, unpadded in old versions.
fn libarchive_value(value: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    Base64::decode_vec(text).or_else(|_| Base64Unpadded::decode_vec(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, secs, nanos) in [
            ("0", 0, 0),
            ("1.5", 1, 500_000_000),
            ("1.0000000019", 1, 1),
            ("-1", -1, 0),
            ("-1.25", -2, 750_000_000),
            ("-0.000000001", -1, 999_999_999),
        ] {
            assert_eq!(time(text.as_bytes()), Some(Time { secs, nanos }), "{text}");
        }
        for text in ["", "-", "1.x", "+1", "1e3", "99999999999999999999"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(gnu_name(b"user.a%3Db%25c%3d%"), b"user.a=b%c%3d%");
        assert_eq!(url_name(b"user.a%20b").as_deref(), Some(&b"user.a b"[..]));
        assert_eq!(url_name(b"user.a%2"), None);
    }

    #[test]
    fn records_with_line_breaks_and_nuls_in_values() {
        let mut overrides = Overrides::default();
        overrides.apply(b"28 SCHILY.xattr.user.x=a\n\0\n\n10 path=a\n8 uid=5\n7 uid=\n").unwrap();
        assert_eq!(overrides.xattrs, [(b"user.x".to_vec(), b"a\n\0\n".to_vec())]);
        assert_eq!((overrides.path, overrides.uid), (Some(b"a".to_vec()), None));
        for bad in
            [&b"10 path=ab\n"[..], b"9 path=a", b"x path=a\n", b"5 abc\n", b"99 path=a\n", b"0 path=a\n"]
        {
            assert!(Overrides::default().apply(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
