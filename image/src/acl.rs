//! POSIX ACLs in their two forms: text, as archives carry them (acl_to_text(3), star's fourth field with the number),
//! and the kernel's extended attribute (include/uapi/linux/posix_acl_xattr.h).

use std::collections::HashMap;
use std::fmt::Write as _;

use thiserror::Error;

/// Attribute of an access ACL.
pub const ACCESS: &str = "system.posix_acl_access";
/// Attribute of a directory's default ACL.
pub const DEFAULT: &str = "system.posix_acl_default";

/// POSIX_ACL_XATTR_VERSION.
const VERSION: u32 = 2;
/// ACL_UNDEFINED_ID: for entries that name nobody.
const NOBODY: u32 = u32::MAX;

/// Tags of the attribute's entries.
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Why a text is no ACL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AclError {
    /// An entry that cannot be read.
    #[error("the ACL entry {0:?} is malformed")]
    Entry(String),
    /// A name that nobody knows the number of.
    #[error("the ACL names the {kind} {name:?}, which the image's /etc/{file} does not have")]
    Name {
        /// User or group.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
}

/// Most bytes of a passwd or group file that are looked at.
pub(crate) const NAMES_MAX: usize = 16 << 20;

/// Numbers of users and groups by name. ACLs may be stored by name, and it is the image's names that count, not those of
/// the machine that packs or unpacks it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

impl Names {
    /// From the texts of passwd(5) and group(5). The default knows nobody.
    #[must_use]
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let table = |text| String::from_utf8_lossy(text).lines().filter_map(named).collect();
        Self { users: table(passwd), groups: table(group) }
    }
}

/// `NAME:x:NUMBER:...`, in both files.
fn named(line: &str) -> Option<(String, u32)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
}

/// Whether an ACL names somebody without the number.
pub(crate) fn by_name(text: &[u8]) -> bool {
    matches!(encode(text, &Names::default()), Err(AclError::Name { .. }))
}

/// The attribute for an ACL's text. Entries by name are looked up in `names`, unless they have their number too.
///
/// # Errors
/// See [`AclError`].
pub fn encode(text: &[u8], names: &Names) -> Result<Vec<u8>, AclError> {
    let text =
        std::str::from_utf8(text).map_err(|_| AclError::Entry(String::from_utf8_lossy(text).into_owned()))?;
    let mut entries = Vec::new();
    for line in text.split(['\n', ',']) {
        // getfacl(1) adds "#effective:" behind an entry.
        let entry = line.split('#').next().unwrap_or_default().trim();
        if !entry.is_empty() {
            entries.push(parse(entry, names)?);
        }
    }
    entries.sort_unstable();
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    Ok(bytes)
}

/// One entry: tag, number, permissions. `user:NAME:rwx`, with star's `:NUMBER` behind it or not.
fn parse(entry: &str, names: &Names) -> Result<(u16, u32, u16), AclError> {
    let malformed = || AclError::Entry(entry.to_owned());
    let mut fields = entry.strip_prefix("default:").unwrap_or(entry).split(':').map(str::trim);
    let mut next = || fields.next().ok_or_else(malformed);
    let (kind, name, permissions) = (next()?, next()?, next()?);
    let number = fields.next();
    let tag = match (kind, name.is_empty()) {
        ("user" | "u", true) => USER_OBJ,
        ("user" | "u", false) => USER,
        ("group" | "g", true) => GROUP_OBJ,
        ("group" | "g", false) => GROUP,
        ("mask" | "m", true) => MASK,
        ("other" | "o", true) => OTHER,
        _ => return Err(malformed()),
    };
    let unknown = |kind, file| AclError::Name { kind, name: name.to_owned(), file };
    let known = number.unwrap_or(name).parse().ok();
    let id = match tag {
        USER => known.or_else(|| names.users.get(name).copied()).ok_or_else(|| unknown("user", "passwd"))?,
        GROUP => {
            known.or_else(|| names.groups.get(name).copied()).ok_or_else(|| unknown("group", "group"))?
        }
        _ => NOBODY,
    };
    let bits = permissions.chars().try_fold(0, |bits, char| match char {
        'r' => Some(bits | 4),
        'w' => Some(bits | 2),
        'x' => Some(bits | 1),
        '-' => Some(bits),
        _ => None,
    });
    Ok((tag, id, bits.ok_or_else(malformed)?))
}

/// The text of an attribute, with numbers for names; `None` if it is not of the known version.
#[must_use]
pub fn decode(attribute: &[u8]) -> Option<String> {
    let (version, entries) = attribute.split_first_chunk()?;
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let (entries, []) = entries.as_chunks::<8>() else { return None };
    let mut text = String::new();
    for &[tag_low, tag_high, permissions, _, a, b, c, d] in entries {
        let id = u32::from_le_bytes([a, b, c, d]);
        let kind = match u16::from_le_bytes([tag_low, tag_high]) {
            USER_OBJ => "user:".to_owned(),
            USER => format!("user:{id}"),
            GROUP_OBJ => "group:".to_owned(),
            GROUP => format!("group:{id}"),
            MASK => "mask:".to_owned(),
            OTHER => "other:".to_owned(),
            _ => return None,
        };
        let bit = |bit, char| if permissions & bit != 0 { char } else { '-' };
        let separator = if text.is_empty() { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(text, "{separator}{kind}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x'));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn few() -> Names {
        Names::parse(b"root:x:0:0::/root:/bin/sh\nlisa:x:502:50::/:\n", b"staff:x:50:lisa\n")
    }

    #[test]
    fn text_forms() {
        let wanted = "user::rwx,user:502:r-x,group::r--,group:50:-w-,mask::rwx,other::---";
        for text in [
            wanted,
            "user::rwx\nuser:lisa:r-x\t#effective:r-x\ngroup::r--\ngroup:staff:-w-\nmask::rwx\nother::---\n",
            "u::rwx,g:whoever:-w-:50,u:else:r-x:502,g::r--,m::rwx,o::---",
        ] {
            assert_eq!(decode(&encode(text.as_bytes(), &few()).unwrap()).unwrap(), wanted, "{text}");
        }
        assert!(matches!(encode(b"user:bart:rwx", &few()), Err(AclError::Name { kind: "user", .. })));
        for bad in ["user", "user::rwz", "nobody::rwx", "mask:5:rwx"] {
            assert!(matches!(encode(bad.as_bytes(), &few()), Err(AclError::Entry(_))), "{bad}");
        }
    }

    proptest! {
        /// Whatever the kernel may hold comes back the same.
        #[test]
        fn there_and_back(users in prop::collection::btree_map(0u32..9999, 0u16..8, 0..5), rest in 0u16..8) {
            let mut entries = vec![(USER_OBJ, NOBODY, 7)];
            entries.extend(users.iter().map(|(&id, &bits)| (USER, id, bits)));
            entries.push((GROUP_OBJ, NOBODY, rest));
            entries.extend(users.iter().map(|(&id, &bits)| (GROUP, id + 1, bits)));
            entries.extend([(MASK, NOBODY, rest), (OTHER, NOBODY, 0)]);
            let mut attribute = VERSION.to_le_bytes().to_vec();
            for (tag, id, bits) in entries {
                attribute.extend([&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat());
            }
            prop_assert_eq!(encode(decode(&attribute).unwrap().as_bytes(), &few()).unwrap(), attribute);
        }
    }
}
