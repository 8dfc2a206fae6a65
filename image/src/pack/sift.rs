//! Each member of an archive on its way into the image: kept, left out, or a reason against the import (`secrets`).

use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use super::error::ImportError;
use super::frames::Framer;
use super::secrets::{Fate, LOOK_MAX, Rule, Secret, Sieve, blank};
use crate::path::normal;
use crate::tar::member::{Kind, Member, shown};
use crate::tar::read::Reader;

/// See the module.
pub(super) struct Sift<'a> {
    sieve: Sieve<'a>,
    /// Paths of what was left out: other names of it go with it.
    gone: HashSet<Vec<u8>>,
    /// The rules that what is behind a path was held to: other names of it may be where other rules hold.
    looked: HashMap<Vec<u8>, Vec<&'static Rule>>,
    found: Found,
    refused: Vec<Secret>,
}

/// Secrets of the source that did not stop the import.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub stripped: Vec<Secret>,
    pub allowed: Vec<Secret>,
}

impl<'a> Sift<'a> {
    pub fn new(sieve: Sieve<'a>) -> Self {
        Self {
            sieve,
            gone: HashSet::new(),
            looked: HashMap::new(),
            found: Found::default(),
            refused: Vec::new(),
        }
    }

    /// Decides about a member whose headers `reader`'s stream holds back. What was read of its data to decide, or `None`
    /// if it is left out.
    pub fn member(
        &mut self,
        member: &Member,
        reader: &mut Reader<&mut Framer<'_>>,
    ) -> Result<Option<Vec<u8>>, ImportError> {
        // A path that is none is refused with the rest of the member.
        let path = normal(&member.path).unwrap_or_default();
        let start = reader.input().held();
        let (fate, seen) = self.judge(member, &path, reader)?;
        if fate == Fate::Strip {
            if reader.said_for_all() {
                let problem =
                    "must be left out, and its header speaks for those after it, too; take it out".to_owned();
                return Err(ImportError::Member { member: shown(&path), problem });
            }
            reader.input().forget();
            self.gone.insert(path);
            return Ok(None);
        }
        if fate == Fate::Blank {
            blank(reader.input().held_from(start));
        }
        self.gone.remove(&path);
        reader.input().keep().map_err(ImportError::Compress)?;
        Ok(Some(seen))
    }

    fn judge(
        &mut self,
        member: &Member,
        path: &[u8],
        reader: &mut Reader<&mut Framer<'_>>,
    ) -> Result<(Fate, Vec<u8>), ImportError> {
        self.looked.remove(path);
        if member.kind == Kind::HardLink {
            return Ok((self.other_name(member, path), Vec::new()));
        }
        if member.kind != Kind::File || member.stored == 0 {
            // What is empty is no secret, by whatever rule.
            self.looked.insert(path.to_vec(), Rule::all());
            return Ok((Fate::Keep, Vec::new()));
        }
        let name = shown(path);
        let about = self.sieve.about(&name);
        if about.is_empty() {
            return Ok((Fate::Keep, Vec::new()));
        }
        let seen = head(reader, LOOK_MAX, Vec::new())?;
        let (mut fate, what) = self.sieve.judge(&name, &about, &seen);
        self.looked.insert(path.to_vec(), about);
        let is_whole = member.stored <= seen.len() as u64;
        if fate == Fate::Blank && !is_whole {
            fate = Fate::Refuse;
        }
        self.note(fate, name, what.to_owned());
        Ok((fate, seen))
    }

    /// A hard link: its content came with an earlier member, so a rule that did not look at it then cannot now.
    fn other_name(&mut self, member: &Member, path: &[u8]) -> Fate {
        let target = normal(&member.link).unwrap_or_default();
        if self.gone.contains(&target) {
            return Fate::Strip;
        }
        let looked = self.looked.get(&target).cloned().unwrap_or_default();
        let name = shown(path);
        let about = self.sieve.about(&name);
        let missed = about.into_iter().find(|rule| !looked.iter().any(|seen| std::ptr::eq(*seen, *rule)));
        self.looked.insert(path.to_vec(), looked);
        let Some(rule) = missed else { return Fate::Keep };
        let fate = if self.sieve.allows(&name) { Fate::Allow } else { Fate::Refuse };
        let first = shown(&target);
        let what =
            format!("{}, maybe: its other name {first:?} comes first, where none is looked for", rule.what);
        self.note(fate, name, what);
        fate
    }

    fn note(&mut self, fate: Fate, path: String, what: String) {
        let list = match fate {
            Fate::Keep => return,
            Fate::Allow => &mut self.found.allowed,
            Fate::Strip | Fate::Blank => &mut self.found.stripped,
            Fate::Refuse => &mut self.refused,
        };
        list.push(Secret { path, what });
    }

    /// What was found.
    ///
    /// # Errors
    /// [`ImportError::Secrets`]: all that the admin has to decide about.
    pub fn finish(self) -> Result<Found, ImportError> {
        if self.refused.is_empty() { Ok(self.found) } else { Err(ImportError::Secrets(self.refused)) }
    }
}

/// Up to `len` bytes of the member's data, of which `seen` were read already.
pub(super) fn head<R: BufRead>(
    reader: &mut Reader<R>,
    len: usize,
    seen: Vec<u8>,
) -> Result<Vec<u8>, ImportError> {
    let mut head = seen;
    head.truncate(len);
    loop {
        let bytes = reader.data()?;
        let count = bytes.len().min(len - head.len());
        if count == 0 {
            return Ok(head);
        }
        head.extend_from_slice(&bytes[..count]);
        reader.consume(count);
    }
}
