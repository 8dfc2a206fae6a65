//! The answer of `nodeboot.cgi` into [`NodeInfo`].

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

use super::mend::mend;
use super::{KusuError, NicInfo, NodeInfo, PartitionRow};
use crate::secret::Secret;

/// Reads the answer of `nodeboot.cgi`. Unknown elements and attributes are ignored, as Kusu's own clients do.
///
/// # Errors
/// [`KusuError`], but for `Refused`.
pub fn parse(bytes: &[u8]) -> Result<NodeInfo, KusuError> {
    let mended = mend(&text(bytes));
    let mut reader = Reader::from_str(&mended);
    let mut document = Document::default();
    loop {
        match reader.read_event().map_err(syntax)? {
            Event::Start(start) => document.start(&start)?,
            Event::Empty(start) => {
                document.start(&start)?;
                document.end(start.name().as_ref());
            }
            Event::End(end) => document.end(end.name().as_ref()),
            Event::Text(text) => document.text.push_str(&text.decode().map_err(syntax)?),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(syntax)? {
                Some(c) => document.text.push(c),
                None => {
                    let name = reference.decode().map_err(syntax)?;
                    document.text.push_str(resolve_predefined_entity(&name).unwrap_or_default());
                }
            },
            Event::Eof => return document.done(),
            _ => {}
        }
    }
}

fn syntax(error: impl std::fmt::Display) -> KusuError {
    KusuError::Syntax { message: error.to_string() }
}

/// A CGI of Python 2 writes whatever bytes its database had: UTF-8, or else Latin-1.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    }
}

/// Whether a setting's name says that its value is a secret. `key` also hides a public one, which costs a script its
/// variable; the other way round would cost a secret.
fn sounds_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    // `Keyboard` is a setting of Kusu's own.
    let name = name.replace("keyboard", "");
    ["pass", "pwd", "secret", "token", "credential", "key"].iter().any(|word| name.contains(word))
}

/// How far the document is read.
#[derive(Default)]
struct Document {
    state: State,
    info: NodeInfo,
    /// Of the element that is read.
    text: String,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Before,
    Inside,
    Behind,
}

impl Document {
    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), KusuError> {
        self.text.clear();
        let attributes = Attributes::read(start)?;
        match (start.name().as_ref(), &self.state) {
            (b"nodeinfo", State::Before) => {
                self.state = State::Inside;
                self.info = node(&attributes);
            }
            (b"nodeinfo", _) => return Err(syntax("it has two <nodeinfo>")),
            (b"nicinfo", State::Inside) => self.nic(nic(&attributes)),
            (b"partition", State::Inside) => self.info.partitions.push(partition(&attributes)),
            (b"appglobals", State::Inside) => self.setting(attributes.get("name"), attributes.get("value")),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &[u8]) {
        if self.state != State::Inside {
            return;
        }
        let text = || self.text.trim().to_owned();
        match name {
            b"component" => self.info.components.push(text()),
            b"optpackage" => self.info.optpackages.push(text()),
            b"optscript" => self.info.optscripts.push(text()),
            b"nodeinfo" => self.state = State::Behind,
            _ => {}
        }
    }

    /// Kusu's clients keep them by device, so the last row of a device wins.
    fn nic(&mut self, nic: NicInfo) {
        match self.info.nics.iter_mut().find(|known| known.device == nic.device) {
            Some(known) => *known = nic,
            None => self.info.nics.push(nic),
        }
    }

    /// Secrets do not get among the settings, which are logged and exported.
    fn setting(&mut self, name: String, value: String) {
        if name == "RootPassword" {
            self.info.root_password = Some(Secret::new(value)).filter(|value| !value.expose().is_empty());
        } else if sounds_secret(&name) {
            self.info.withheld.push(name);
        } else {
            self.info.appglobals.insert(name, value);
        }
    }

    /// What follows `<nodeinfo>` is not needed, and may be cut off.
    fn done(self) -> Result<NodeInfo, KusuError> {
        match self.state {
            State::Before => Err(KusuError::UnknownNode),
            State::Inside => Err(KusuError::Truncated),
            State::Behind if self.info.name.is_empty() => Err(KusuError::UnknownNode),
            State::Behind => Ok(self.info),
        }
    }
}

/// Attributes of an element.
struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn read(start: &BytesStart<'_>) -> Result<Self, KusuError> {
        let mut all = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(syntax)?;
            let value = std::str::from_utf8(&attribute.value).map_err(syntax)?;
            let value = unescape(value).map_err(syntax)?.into_owned();
            all.push((String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value));
        }
        Ok(Self(all))
    }

    fn get(&self, name: &str) -> String {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

fn node(attributes: &Attributes) -> NodeInfo {
    NodeInfo {
        name: attributes.get("name"),
        installers: attributes.get("installers"),
        repo: attributes.get("repo"),
        ostype: attributes.get("ostype"),
        installtype: attributes.get("installtype"),
        nodegrpid: attributes.get("nodegrpid"),
        ngtype: attributes.get("ngtype"),
        repoid: attributes.get("repoid"),
        ..NodeInfo::default()
    }
}

fn nic(attributes: &Attributes) -> NicInfo {
    NicInfo {
        device: attributes.get("device"),
        ip: attributes.get("ip"),
        subnet: attributes.get("subnet"),
        network: attributes.get("network"),
        suffix: attributes.get("suffix"),
        gateway: attributes.get("gateway"),
        dhcp: attributes.get("dhcp"),
        options: attributes.get("options"),
        boot: attributes.get("boot"),
        mac: attributes.get("mac"),
        kind: attributes.get("type"),
    }
}

fn partition(attributes: &Attributes) -> PartitionRow {
    PartitionRow {
        device: attributes.get("device"),
        partition: attributes.get("partition"),
        mntpnt: attributes.get("mntpnt"),
        fstype: attributes.get("fstype"),
        size: attributes.get("size"),
        options: attributes.get("options"),
        preserve: attributes.get("preserve"),
    }
}
