//! What the loader reads of an ELF file: PT_INTERP, DT_NEEDED, DT_RPATH, DT_RUNPATH (elf(5), ld.so(8)).

use anyhow::{Context, Result};
use elf::ElfBytes;
use elf::abi::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, PT_INTERP, PT_LOAD};
use elf::endian::AnyEndian;
use elf::file::Class;

/// The kind of machine code: libraries of another kind are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// 32 or 64 bits.
    pub class: Class,
    /// `e_machine`.
    pub code: u16,
}

/// A program or library.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    /// What it runs on.
    pub machine: Machine,
    /// The loader; libraries and static programs have none.
    pub interpreter: Option<String>,
    /// Names of libraries.
    pub needed: Vec<String>,
    rpath: Vec<String>,
    runpath: Vec<String>,
}

impl Object {
    /// Reads the headers; nothing if `data` is no ELF file.
    pub fn parse(data: &[u8]) -> Result<Option<Self>> {
        if !data.starts_with(b"\x7fELF") {
            return Ok(None);
        }
        let file = ElfBytes::<AnyEndian>::minimal_parse(data)?;
        let machine = Machine { class: file.ehdr.class, code: file.ehdr.e_machine };
        let mut object =
            Self { machine, interpreter: None, needed: Vec::new(), rpath: Vec::new(), runpath: Vec::new() };
        for segment in file.segments().into_iter().flatten() {
            if segment.p_type == PT_INTERP {
                object.interpreter = Some(text(file.segment_data(&segment)?, 0)?);
            }
        }
        let Some(dynamic) = file.dynamic()? else { return Ok(Some(object)) };
        let value = |tag: i64| dynamic.iter().find(|entry| entry.d_tag == tag).map(|entry| entry.d_val());
        let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
            return Ok(Some(object));
        };
        let strings = loaded(&file, data, address, size).context("finding its dynamic strings")?;
        for entry in dynamic.iter() {
            let string = || text(strings, usize::try_from(entry.d_val())?);
            match entry.d_tag {
                DT_NEEDED => object.needed.push(string()?),
                DT_RPATH => object.rpath = string()?.split(':').map(str::to_owned).collect(),
                DT_RUNPATH => object.runpath = string()?.split(':').map(str::to_owned).collect(),
                _ => {}
            }
        }
        Ok(Some(object))
    }

    /// Whether it runs without a loader and libraries.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }

    /// The folders this object itself adds to the search when it lies in `origin`: its RUNPATH, or without one its
    /// RPATH and then the `inherited` ones.
    pub fn search_dirs(&self, origin: &str, inherited: &[String]) -> Vec<String> {
        let lib = if self.machine.class == Class::ELF64 { "lib64" } else { "lib" };
        let expand = |dir: &String| {
            let dir = dir.replace("${ORIGIN}", origin).replace("$ORIGIN", origin);
            dir.replace("${LIB}", lib).replace("$LIB", lib)
        };
        let own = if self.runpath.is_empty() { &self.rpath } else { &self.runpath };
        let inherited = if self.runpath.is_empty() { inherited } else { &[] };
        own.iter().map(expand).filter(|dir| dir.starts_with('/')).chain(inherited.iter().cloned()).collect()
    }
}

/// The bytes that are loaded at a virtual address.
fn loaded<'d>(file: &ElfBytes<'_, AnyEndian>, data: &'d [u8], address: u64, size: u64) -> Option<&'d [u8]> {
    let segments = file.segments()?;
    let segment = segments
        .iter()
        .find(|s| s.p_type == PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz)?;
    let start = usize::try_from(segment.p_offset.checked_add(address - segment.p_vaddr)?).ok()?;
    data.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}

/// The NUL-terminated string at `offset`.
fn text(bytes: &[u8], offset: usize) -> Result<String> {
    let rest = bytes.get(offset..).context("a string lies outside of its table")?;
    let end = rest.iter().position(|&byte| byte == 0).context("a string does not end")?;
    Ok(std::str::from_utf8(&rest[..end])?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(rpath: &[&str], runpath: &[&str]) -> Object {
        let own = |dirs: &[&str]| dirs.iter().map(|dir| (*dir).to_owned()).collect();
        let machine = Machine { class: Class::ELF64, code: 62 };
        Object { machine, interpreter: None, needed: vec![], rpath: own(rpath), runpath: own(runpath) }
    }

    #[test]
    fn runpath_hides_rpath_and_what_is_inherited() {
        let inherited = ["/old".to_owned()];
        assert_eq!(
            object(&["$ORIGIN/../lib"], &[]).search_dirs("/opt/bin", &inherited),
            ["/opt/bin/../lib", "/old"]
        );
        assert_eq!(object(&["/r"], &["/u/${LIB}", "relative"]).search_dirs("/", &inherited), ["/u/lib64"]);
    }

    #[test]
    fn this_test_is_a_dynamic_program() {
        let data = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let object = Object::parse(&data).unwrap().unwrap();
        assert!(object.interpreter.as_deref().is_some_and(|path| path.contains("ld")), "{object:?}");
        assert!(object.needed.iter().any(|name| name.starts_with("libc.")), "{object:?}");
        assert_eq!(Object::parse(b"#!/bin/sh").unwrap(), None);
        assert!(Object::parse(&data[..100]).is_err());
    }
}
