//! DHCP from a machine's side (RFC 2131): the question, and what of an offer a boot needs. For the self-test of
//! [`crate::doctor`]. Pure.

use std::net::Ipv4Addr;

use super::packet::{self, COOKIE, field, option};

/// The port that clients listen on.
pub const CLIENT_PORT: u16 = 68;
/// A machine that there is not: an address of nobody's, from the range that anybody may use (its second bit).
pub const NOBODY: [u8; 6] = *b"\x02camph";

const BOOT_REPLY: u8 = 2;
const DISCOVER: u8 = 1;
const OFFER: &[u8] = &[2];
/// The answer is to be broadcast: who asks has no address yet.
const BROADCAST: [u8; 2] = [0x80, 0];
/// Subnet mask, router, name server, vendor's, server, TFTP server, boot file: what firmware asks for.
const WANTED: &[u8] = &[1, 3, 6, 43, 54, 66, 67];

/// What a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The address for the machine.
    pub address: Ipv4Addr,
    /// Who offers it.
    pub server: Ipv4Addr,
    /// Where the boot file is.
    pub next_server: Ipv4Addr,
    /// The boot file: a name for TFTP, or a URL.
    pub file: String,
}

/// A DHCPDISCOVER of [`NOBODY`].
pub fn discover(id: u32, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; field::COOKIE.start];
    bytes[..3].copy_from_slice(&[packet::BOOT_REQUEST, packet::ETHERNET, 6]);
    bytes[field::ID].copy_from_slice(&id.to_be_bytes());
    bytes[field::FLAGS].copy_from_slice(&BROADCAST);
    bytes[field::CHADDR].copy_from_slice(&NOBODY);
    bytes.extend(COOKIE);
    let own: [(u8, &[u8]); 2] = [(option::KIND, &[DISCOVER]), (option::WANTED, WANTED)];
    for (code, value) in own.iter().chain(options) {
        // The callers' values are short.
        bytes.extend([*code, value.len() as u8]);
        bytes.extend(*value);
    }
    bytes.push(option::END);
    bytes
}

/// The offer that answers to `id`, if the datagram is one.
pub fn offer(payload: &[u8], id: u32) -> Option<Offer> {
    let fixed = payload.get(..field::FILE.end)?;
    let options = packet::options(payload);
    let right = fixed[0] == BOOT_REPLY
        && fixed[field::ID] == id.to_be_bytes()
        && fixed[field::CHADDR] == NOBODY
        && options.get(&option::KIND).map(Vec::as_slice) == Some(OFFER);
    let address = |bytes: &[u8]| packet::address(bytes).unwrap_or(Ipv4Addr::UNSPECIFIED);
    let server = address(options.get(&option::SERVER).map(Vec::as_slice).unwrap_or_default());
    let named = options.get(&option::FILE).map(Vec::as_slice).unwrap_or(&fixed[field::FILE]);
    right.then(|| Offer {
        address: address(&fixed[field::YIADDR]),
        server,
        next_server: address(&fixed[field::SIADDR]),
        file: packet::text(named),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::packet::Kind;

    #[test]
    fn a_question_is_what_servers_read() {
        let packet = packet::read(&discover(7, &[(93, &[0, 7]), (77, b"iPXE")])).unwrap();
        assert_eq!((packet.kind, packet.arch), (Kind::Discover, Some(7)));
        assert_eq!((packet.mac.as_str(), packet.user_class.as_deref()), ("02:63:61:6d:70:68", Some("iPXE")));
    }

    #[test]
    fn an_offer_is_for_who_asked() {
        let mut bytes = discover(7, &[(54, &[10, 1, 0, 1])]);
        assert_eq!(offer(&bytes, 7), None, "a question");
        bytes[0] = BOOT_REPLY;
        bytes[field::COOKIE.end + 2] = 2;
        bytes[field::YIADDR].copy_from_slice(&[10, 1, 0, 100]);
        bytes[field::SIADDR].copy_from_slice(&[10, 1, 0, 2]);
        bytes[field::FILE][..6].copy_from_slice(b"x.kpxe");
        let expected = Offer {
            address: [10, 1, 0, 100].into(),
            server: [10, 1, 0, 1].into(),
            next_server: [10, 1, 0, 2].into(),
            file: "x.kpxe".into(),
        };
        assert_eq!(offer(&bytes, 7), Some(expected));
        assert_eq!(offer(&bytes, 8), None, "another's");
        assert_eq!(offer(&bytes[..200], 7), None);
    }
}
