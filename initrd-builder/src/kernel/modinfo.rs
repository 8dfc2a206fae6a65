//! The `.modinfo` section of a module: NUL-separated `key=value` strings (the kernel's include/linux/moduleparam.h).

use anyhow::{Context, Result};
use elf::ElfBytes;
use elf::endian::AnyEndian;

/// All values of `key`, in their order.
pub fn values(module: &[u8], key: &str) -> Result<Vec<String>> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(module).context("not an ELF file")?;
    let Some(section) = file.section_header_by_name(".modinfo")? else { return Ok(Vec::new()) };
    let (bytes, _) = file.section_data(&section)?;
    Ok(parse(bytes, key))
}

fn parse(section: &[u8], key: &str) -> Vec<String> {
    section
        .split(|&byte| byte == 0)
        .filter_map(|field| std::str::from_utf8(field).ok()?.split_once('='))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart() {
        let section = b"license=GPL\0firmware=a/b.fw\0\0firmware=c=d.bin\0firmware_x=no\0";
        assert_eq!(parse(section, "firmware"), ["a/b.fw", "c=d.bin"]);
    }

    #[test]
    fn what_is_no_module_is_an_error() {
        assert!(values(b"not ELF", "firmware").is_err());
    }
}
