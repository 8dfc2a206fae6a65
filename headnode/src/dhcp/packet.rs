//! What machines that boot from the network ask for: DHCP and BOOTP requests (RFC 2131, 2132, 951) with what PXE adds
//! (RFC 4578, 3004). Pure; anybody can send anything, so nothing here trusts a length.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use thiserror::Error;
use uuid::Uuid;

use super::client::CLIENT_PORT;
use crate::addresses::{Mac, machine_id};

/// The port that servers listen on.
pub const SERVER_PORT: u16 = 67;

const UDP: u8 = 17;
pub(super) const BOOT_REQUEST: u8 = 1;
pub(super) const ETHERNET: u8 = 1;
pub(super) const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Fields of the fixed part (RFC 2131, figure 1).
pub(super) mod field {
    use std::ops::Range;

    pub const ID: Range<usize> = 4..8;
    pub const FLAGS: Range<usize> = 10..12;
    pub const YIADDR: Range<usize> = 16..20;
    pub const SIADDR: Range<usize> = 20..24;
    pub const GIADDR: Range<usize> = 24..28;
    pub const CHADDR: Range<usize> = 28..34;
    pub const SNAME: Range<usize> = 44..108;
    pub const FILE: Range<usize> = 108..236;
    pub const COOKIE: Range<usize> = 236..240;
    pub const OPTIONS: usize = 240;
}

/// Numbers of options.
pub(super) mod option {
    pub const PAD: u8 = 0;
    pub const HOST_NAME: u8 = 12;
    pub const REQUESTED: u8 = 50;
    pub const OVERLOAD: u8 = 52;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const WANTED: u8 = 55;
    pub const VENDOR_CLASS: u8 = 60;
    pub const FILE: u8 = 67;
    pub const USER_CLASS: u8 = 77;
    pub const ARCH: u8 = 93;
    pub const UUID: u8 = 97;
    pub const IPXE: u8 = 175;
    pub const END: u8 = 255;
}

/// What a machine asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any address: DHCPDISCOVER.
    Discover,
    /// A certain one: DHCPREQUEST.
    Request,
    /// The same in the words of before DHCP.
    Bootp,
    /// Something that has nothing to do with a boot: release, decline, inform.
    Other(u8),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What it asks for.
    pub kind: Kind,
    /// Its interface's address.
    pub mac: Mac,
    /// The relay that passed it on.
    pub relay: Option<Ipv4Addr>,
    /// The address that it wants.
    pub requested: Option<Ipv4Addr>,
    /// The server whose offer it takes.
    pub server: Option<Ipv4Addr>,
    /// Its firmware (IANA, "Processor Architecture Types").
    pub arch: Option<u16>,
    /// The machine's own id, as its firmware's setup and dmidecode show it.
    pub uuid: Option<Uuid>,
    /// As `PXEClient:Arch:00007:UNDI:003016`.
    pub vendor_class: Option<String>,
    /// As `iPXE`.
    pub user_class: Option<String>,
    /// The name that its system gave itself.
    pub host_name: Option<String>,
    /// Whether it shows that it boots from the network: firmware and iPXE do, systems that renew a lease do not.
    pub boots: bool,
}

/// Why something is no request of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Shorter than the fixed part.
    #[error("it is too short for DHCP")]
    Short,
    /// A server's answer.
    #[error("it is no request")]
    NoRequest,
    /// InfiniBand and other links.
    #[error("its link is no Ethernet")]
    NoEthernet,
    /// A group's address, or none.
    #[error("its MAC address cannot be a machine's")]
    NoMachine,
}

/// The payload of an IPv4 packet that is a whole UDP datagram to a DHCP server (RFC 791, 768).
pub fn to_server(ip: &[u8]) -> Option<&[u8]> {
    to_port(ip, SERVER_PORT)
}

/// The same of one to a client.
pub fn to_client(ip: &[u8]) -> Option<&[u8]> {
    to_port(ip, CLIENT_PORT)
}

fn to_port(ip: &[u8], port: u16) -> Option<&[u8]> {
    let header = usize::from(ip.first()? & 0xf) * 4;
    let fragment = number(ip.get(6..8)?) & 0x3fff;
    if ip[0] >> 4 != 4 || header < 20 || *ip.get(9)? != UDP || fragment != 0 {
        return None;
    }
    let udp = ip.get(header..usize::from(number(ip.get(2..4)?)))?;
    let length = usize::from(number(udp.get(4..6)?));
    let payload = udp.get(8..length)?;
    (number(&udp[2..4]) == port).then_some(payload)
}

/// An IPv4 packet from a client without an address to all servers, without a UDP checksum (RFC 768 lets it be 0).
pub fn broadcast(payload: &[u8]) -> Vec<u8> {
    // Questions are a few hundred bytes.
    let udp_length = 8 + payload.len() as u16;
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP];
    ip[2..4].copy_from_slice(&(20 + udp_length).to_be_bytes());
    ip.resize(16, 0);
    ip.extend([0xff; 4]);
    let mut sum: u32 = ip.chunks(2).map(|pair| u32::from(number(pair))).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    for number in [CLIENT_PORT, SERVER_PORT, udp_length, 0] {
        ip.extend(number.to_be_bytes());
    }
    ip.extend(payload);
    ip
}

/// Reads a datagram's payload. Options that are cut off or have a wrong length count as absent: servers take such machines
/// too.
///
/// # Errors
/// When it is no request that comes from an Ethernet interface.
pub fn read(payload: &[u8]) -> Result<Packet, Malformed> {
    let fixed = payload.get(..field::FILE.end).ok_or(Malformed::Short)?;
    if fixed[0] != BOOT_REQUEST {
        return Err(Malformed::NoRequest);
    }
    if (fixed[1], fixed[2]) != (ETHERNET, 6) {
        return Err(Malformed::NoEthernet);
    }
    let mac = mac(&fixed[field::CHADDR]).ok_or(Malformed::NoMachine)?;
    let options = options(payload);
    let get = |code: u8| options.get(&code).map(Vec::as_slice);
    let ip = |code| get(code).and_then(address);
    let text = |code| get(code).map(text).filter(|text| !text.is_empty());
    let user_class = get(option::USER_CLASS).map(first_class).map(self::text);
    let ipxe = user_class.as_deref() == Some("iPXE") || get(option::IPXE).is_some();
    let vendor_class = text(option::VENDOR_CLASS);
    let firmware = |class: &str| class.starts_with("PXEClient") || class.starts_with("HTTPClient");
    let boots = ipxe || get(option::ARCH).is_some() || vendor_class.as_deref().is_some_and(firmware);
    Ok(Packet {
        kind: match get(option::KIND) {
            None => Kind::Bootp,
            Some([1]) => Kind::Discover,
            Some([3]) => Kind::Request,
            Some(other) => Kind::Other(other.first().copied().unwrap_or_default()),
        },
        mac,
        relay: address(&fixed[field::GIADDR]),
        requested: ip(option::REQUESTED),
        server: ip(option::SERVER),
        arch: get(option::ARCH).and_then(|arch| arch.get(..2)).map(number),
        uuid: get(option::UUID).and_then(|id| uuid(id, ipxe)),
        vendor_class,
        user_class: user_class.filter(|class| !class.is_empty()),
        host_name: text(option::HOST_NAME),
        boots,
    })
}

/// All options by number, those of the fields `file` and `sname` too if they say so (RFC 2132, 9.3); one that comes in
/// pieces is put together (RFC 3396).
pub(super) fn options(payload: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut found = BTreeMap::new();
    if payload.get(field::COOKIE) != Some(&COOKIE) {
        return found;
    }
    gather(&payload[field::OPTIONS..], &mut found);
    let overload = found.get(&option::OVERLOAD).and_then(|value| value.first()).copied().unwrap_or_default();
    if overload & 1 != 0 {
        gather(&payload[field::FILE], &mut found);
    }
    if overload & 2 != 0 {
        gather(&payload[field::SNAME], &mut found);
    }
    found
}

fn gather(mut area: &[u8], found: &mut BTreeMap<u8, Vec<u8>>) {
    while let Some((&code, rest)) = area.split_first() {
        area = rest;
        match code {
            option::PAD => continue,
            option::END => return,
            _ => {}
        }
        let Some((&length, rest)) = area.split_first() else { return };
        let Some((value, rest)) = rest.split_at_checked(length.into()) else { return };
        found.entry(code).or_default().extend_from_slice(value);
        area = rest;
    }
}

fn number(two: &[u8]) -> u16 {
    two.iter().fold(0, |number, byte| number << 8 | u16::from(*byte))
}

pub(super) fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = bytes.try_into().ok()?;
    let address = Ipv4Addr::from(bytes);
    (!address.is_unspecified()).then_some(address)
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    let bytes: [u8; 6] = bytes.try_into().ok()?;
    let (group, none) = (bytes[0] & 1 != 0, bytes == [0; 6]);
    (!group && !none).then(|| Mac::from_bytes(bytes))
}

/// Some put a zero byte at the end.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

/// The first of the classes, each with its length before it (RFC 3004); or the only one, without, as iPXE says it.
fn first_class(bytes: &[u8]) -> &[u8] {
    match bytes.split_first() {
        Some((length, rest)) if *length > 0 => rest.get(..usize::from(*length)).unwrap_or(bytes),
        _ => bytes,
    }
}

/// RFC 4578, 2.3: a zero, then the id as SMBIOS keeps it (its first three fields little-endian). iPXE has put it in its
/// printed order already.
fn uuid(bytes: &[u8], ipxe: bool) -> Option<Uuid> {
    let (0, id) = bytes.split_first().map(|(kind, id)| (*kind, id))? else { return None };
    let id: [u8; 16] = id.try_into().ok()?;
    machine_id(if ipxe { Uuid::from_bytes(id) } else { Uuid::from_bytes_le(id) })
}

/// What a firmware's number means, for people.
pub fn firmware(arch: u16) -> String {
    match arch {
        0 => "BIOS".into(),
        6 => "UEFI 32-bit".into(),
        7 | 9 => "UEFI x86-64".into(),
        11 => "UEFI ARM64".into(),
        15 => "UEFI HTTP 32-bit".into(),
        16 => "UEFI HTTP x86-64".into(),
        19 => "UEFI HTTP ARM64".into(),
        other => format!("firmware {other}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: [u8; 17] =
        [0, 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

    fn packet(options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 236];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[field::CHADDR].copy_from_slice(&[0x52, 0x54, 0, 0xab, 0xcd, 1]);
        bytes.extend(COOKIE);
        bytes.extend(encoded(options));
        bytes.push(option::END);
        bytes
    }

    fn encoded(options: &[(u8, &[u8])]) -> Vec<u8> {
        let encode = |(code, value): &(u8, &[u8])| [&[*code, value.len() as u8], *value].concat();
        options.iter().flat_map(encode).collect()
    }

    #[test]
    fn a_firmware_says_who_it_is() {
        let mut bytes = packet(&[
            (53, &[1]),
            (0, &[]),
            (93, &[0, 7, 0, 9]),
            (97, &ID),
            (60, b"PXEClient:Arch:00007"),
            (60, b":UNDI:003016"),
            (12, b"old\0"),
            (50, &[10, 1, 0, 105]),
            (54, &[10, 1, 0, 9]),
        ]);
        bytes[field::GIADDR].copy_from_slice(&[10, 2, 0, 254]);
        let packet = read(&bytes).unwrap();
        assert_eq!(packet.kind, Kind::Discover);
        assert_eq!(packet.mac.as_str(), "52:54:00:ab:cd:01");
        assert_eq!(packet.relay, Some([10, 2, 0, 254].into()));
        assert_eq!(
            (packet.requested, packet.server),
            (Some([10, 1, 0, 105].into()), Some([10, 1, 0, 9].into()))
        );
        assert_eq!(packet.arch.map(firmware).as_deref(), Some("UEFI x86-64"));
        assert_eq!(packet.uuid.unwrap().to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(packet.vendor_class.as_deref(), Some("PXEClient:Arch:00007:UNDI:003016"));
        assert_eq!(packet.host_name.as_deref(), Some("old"));
    }

    #[test]
    fn ipxe_prints_ids_as_they_are() {
        let plain = [&[0][..], &(0..16).collect::<Vec<u8>>()].concat();
        for class in [&b"iPXE"[..], b"\x04iPXE"] {
            let packet = read(&packet(&[(53, &[3]), (77, class), (97, &plain)])).unwrap();
            assert_eq!((packet.kind, packet.user_class.as_deref()), (Kind::Request, Some("iPXE")));
            assert_eq!(packet.uuid.unwrap().to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        }
        for nobodys in [[0; 17].to_vec(), [&[0][..], &[0xff; 16]].concat(), vec![0, 1, 2], vec![]] {
            assert_eq!(read(&packet(&[(97, &nobodys)])).unwrap().uuid, None);
        }
    }

    #[test]
    fn only_firmware_and_ipxe_boot_from_the_network() {
        let boots = |options: &[(u8, &[u8])]| read(&packet(options)).unwrap().boots;
        let shown: [(u8, &[u8]); 5] = [
            (93, &[0, 7]),
            (60, b"PXEClient:Arch:00000"),
            (60, b"HTTPClient"),
            (77, b"iPXE"),
            (175, &[1, 1, 1]),
        ];
        for option in shown {
            assert!(boots(&[(53, &[1]), option]), "{option:?}");
        }
        for option in [(60, &b"udhcp 1.37.0"[..]), (77, b"linux"), (12, b"PXEClient")] {
            assert!(!boots(&[(53, &[3]), option]), "{option:?}");
        }
    }

    #[test]
    fn options_may_be_in_other_fields() {
        let mut bytes = packet(&[(52, &[3])]);
        let (file, sname) = (encoded(&[(53, &[1]), (255, &[])]), encoded(&[(12, b"n1")]));
        bytes[field::FILE][..file.len()].copy_from_slice(&file);
        bytes[field::SNAME][..sname.len()].copy_from_slice(&sname);
        let packet = read(&bytes).unwrap();
        assert_eq!((packet.kind, packet.host_name.as_deref()), (Kind::Discover, Some("n1")));
    }

    #[test]
    fn what_is_no_machines_request_is_refused() {
        let broken = |at: usize, value: u8| {
            let mut bytes = packet(&[(53, &[1])]);
            bytes[at] = value;
            read(&bytes).unwrap_err()
        };
        assert_eq!(broken(0, 2), Malformed::NoRequest);
        assert_eq!(broken(1, 32), Malformed::NoEthernet);
        assert_eq!(broken(2, 16), Malformed::NoEthernet);
        assert_eq!(broken(28, 0x53), Malformed::NoMachine);
        let bytes = packet(&[(53, &[1])]);
        assert_eq!(read(&bytes[..235]), Err(Malformed::Short));
        assert_eq!(read(&bytes[..236]).unwrap().kind, Kind::Bootp);
        assert_eq!(read(&packet(&[(53, &[7])])).unwrap().kind, Kind::Other(7));
    }

    #[test]
    fn only_whole_datagrams_to_the_server_count() {
        let mut ip = vec![0; 20];
        (ip[0], ip[3], ip[9]) = (0x45, 31, UDP);
        ip.extend([0, 68, 0, 67, 0, 11, 0, 0, b'a', b'b', b'c', 0, 0]);
        assert_eq!(to_server(&ip), Some(&b"abc"[..]), "without the padding behind it");
        for (at, value) in
            [(0, 0x65), (0, 0x44), (9, 6), (6, 0x20), (7, 1), (23, 68), (25, 12), (25, 7), (3, 34)]
        {
            let mut broken = ip.clone();
            broken[at] = value;
            assert_eq!(to_server(&broken), None, "{at} {value}");
        }
        assert_eq!(to_server(&ip[..27]), None);
    }

    #[test]
    fn what_is_broadcast_is_a_datagram_to_a_server() {
        let ip = broadcast(b"abc");
        assert_eq!((to_server(&ip), to_client(&ip)), (Some(&b"abc"[..]), None));
        let sum: u32 = ip[..20].chunks(2).map(|pair| u32::from(number(pair))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the checksum of RFC 791");
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = to_server(&bytes).map(read);
            let _ = read(&bytes);
        }

        /// The same behind a good fixed part, where the options are looked at.
        #[test]
        fn hostile_options_never_panic(
            options in prop::collection::vec(any::<u8>(), 0..600),
            sname in prop::collection::vec(any::<u8>(), 64),
            file in prop::collection::vec(any::<u8>(), 128),
        ) {
            let mut bytes = packet(&[(52, &[3])]);
            bytes.pop();
            bytes[field::SNAME].copy_from_slice(&sname);
            bytes[field::FILE].copy_from_slice(&file);
            bytes.extend(options);
            let packet = read(&bytes).unwrap();
            prop_assert_eq!(packet.mac.as_str(), "52:54:00:ab:cd:01");
        }

        #[test]
        fn what_is_said_is_heard(kind in 1u8..9, arch: u16, id: [u8; 16], class in "[ -~]{1,200}", name in "[a-z]{1,60}") {
            let id = [&[0][..], &id].concat();
            let options: [(u8, &[u8]); 5] =
                [(53, &[kind]), (93, &arch.to_be_bytes()), (97, &id), (60, class.as_bytes()), (12, name.as_bytes())];
            let packet = read(&packet(&options)).unwrap();
            prop_assert_eq!(packet.arch, Some(arch));
            prop_assert_eq!(packet.vendor_class, Some(class));
            prop_assert_eq!(packet.host_name, Some(name));
        }
    }
}
