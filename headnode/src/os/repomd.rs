//! `repodata/repomd.xml`: which files a repository's metadata are. A mirror that is half copied is found out by them.

use anyhow::{Context as _, Result, ensure};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// A file of the metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Its path below the repository's folder.
    pub href: String,
    /// Its SHA-256 in hexadecimal digits, if it has that.
    pub sha256: Option<String>,
}

/// Where it is in a repository.
pub const FILE: &str = "repodata/repomd.xml";
/// Far more than any has.
pub const SIZE_MAX: u64 = 1 << 20;

/// Reads it.
///
/// # Errors
/// When it is no such file.
pub fn parse(text: &str) -> Result<Vec<Data>> {
    let mut reader = Reader::from_str(text);
    let mut all: Vec<Data> = Vec::new();
    let (mut is_repomd, mut in_sum) = (false, false);
    loop {
        match reader.read_event().context("reading XML")? {
            Event::Start(tag) | Event::Empty(tag) => match tag.local_name().as_ref() {
                b"repomd" => is_repomd = true,
                b"data" => all.push(Data::default()),
                b"location" => {
                    if let (Some(data), Some(href)) = (all.last_mut(), attribute(&tag, "href")?) {
                        data.href = href;
                    }
                }
                name => in_sum = name == b"checksum" && attribute(&tag, "type")?.as_deref() == Some("sha256"),
            },
            Event::Text(text) if in_sum => {
                if let Some(data) = all.last_mut() {
                    data.sha256 = Some(text.decode()?.trim().to_ascii_lowercase());
                }
            }
            Event::End(_) => in_sum = false,
            Event::Eof => break,
            _ => {}
        }
    }
    ensure!(is_repomd && !all.is_empty(), "is no repository's list of metadata");
    Ok(all)
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>> {
    let found = tag.try_get_attribute(name).context("reading XML")?;
    Ok(found.map(|found| String::from_utf8_lossy(&found.value).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_their_sums() {
        let text = "<?xml version=\"1.0\"?><repomd xmlns=\"http://linux.duke.edu/metadata/repo\"><revision>1</revision>\
            <data type=\"primary\"><checksum type=\"sha256\">AB12</checksum><open-checksum type=\"sha256\">ff\
            </open-checksum><location href=\"repodata/p.xml.gz\"/><size>3</size></data>\
            <data type=\"other\"><checksum type=\"sha\">cd</checksum><location href=\"repodata/o.xml\"/></data></repomd>";
        let data = |href: &str, sum: Option<&str>| Data { href: href.into(), sha256: sum.map(str::to_owned) };
        assert_eq!(
            parse(text).unwrap(),
            [data("repodata/p.xml.gz", Some("ab12")), data("repodata/o.xml", None)]
        );
        for wrong in ["", "<html></html>", "<repomd/>", "<repomd><data></x></repomd>"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
