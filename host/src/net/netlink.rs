//! The few rtnetlink requests that a node needs (rtnetlink(7), netlink(7)), each sent on its own and acknowledged.
//!
//! Asking again for what is there already changes nothing.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

// linux/netlink.h
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
/// Make it, or change what is there. Links do not know it: they are only changed.
const PUT: u16 = NLM_F_CREATE | NLM_F_REPLACE;
const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;

// linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/if.h
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// No duplicate address detection: the address is usable at once.
const IFA_F_NODAD: u8 = 0x02;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// One request under construction.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
        bytes.extend_from_slice(&1_u32.to_ne_bytes());
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    /// Adds an attribute, padded to four bytes as all of them are.
    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Sends it and waits for the kernel's answer, which comes at once.
    fn send(mut self) -> Result<(), Errno> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        let socket = socket()?;
        send(&socket, &self.0, SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
        acknowledged(&answer[..length])
    }
}

fn socket() -> Result<OwnedFd, Errno> {
    // No protocol is protocol 0, NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// An acknowledgement is an error message with the number 0.
fn acknowledged(answer: &[u8]) -> Result<(), Errno> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(Errno::from_raw_os_error(-code)),
        _ => Err(Errno::BADMSG),
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// `struct ifinfomsg`.
fn link_message(index: u32, flags: u32, change: u32) -> Message {
    let numbers = [0, index, flags, change];
    Message::new(RTM_NEWLINK, 0, &numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>())
}

/// Sets an interface up.
///
/// # Errors
/// The kernel's.
pub fn set_up(index: u32) -> Result<(), Errno> {
    link_message(index, IFF_UP, IFF_UP).send()
}

/// Sets an interface down; its routes and its IPv6 addresses go with it.
///
/// # Errors
/// The kernel's.
pub fn set_down(index: u32) -> Result<(), Errno> {
    link_message(index, 0, IFF_UP).send()
}

/// Takes one IPv4 address of an interface away, whichever it is; false if it has none.
///
/// # Errors
/// The kernel's.
pub fn remove_address(index: u32) -> Result<bool, Errno> {
    let mut body = vec![AF_INET, 0, 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    // Without an attribute that says which, inet_rtm_deladdr takes the first.
    match Message::new(RTM_DELADDR, 0, &body).send() {
        Ok(()) => Ok(true),
        // No more addresses, or an interface that can have none.
        Err(Errno::ADDRNOTAVAIL | Errno::NODEV) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets an interface's MTU.
///
/// # Errors
/// The kernel's: EINVAL when the driver cannot.
pub fn set_mtu(index: u32, mtu: u32) -> Result<(), Errno> {
    link_message(index, 0, 0).attribute(IFLA_MTU, &mtu.to_ne_bytes()).send()
}

/// Gives an interface an address.
///
/// # Errors
/// The kernel's.
pub fn add_address(index: u32, address: IpAddr, prefix: u8) -> Result<(), Errno> {
    let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
    let mut body = vec![family(address), prefix, flags, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    let mut message = Message::new(RTM_NEWADDR, PUT, &body).attribute(IFA_ADDRESS, &octets(address));
    if let IpAddr::V4(v4) = address {
        let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        let broadcast = (v4.to_bits() | host_bits).to_be_bytes();
        message = message.attribute(IFA_LOCAL, &v4.octets()).attribute(IFA_BROADCAST, &broadcast);
    }
    message.send()
}

/// Adds a route through a gateway on an interface; prefix 0 is the default route.
///
/// # Errors
/// The kernel's: ENETUNREACH when the gateway is on no network of the interface.
pub fn add_route(index: u32, to: IpAddr, prefix: u8, via: IpAddr) -> Result<(), Errno> {
    let mut body = vec![family(via), prefix, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST];
    body.extend_from_slice(&0_u32.to_ne_bytes());
    let mut message = Message::new(RTM_NEWROUTE, PUT, &body);
    if prefix > 0 {
        message = message.attribute(RTA_DST, &octets(to));
    }
    message.attribute(RTA_GATEWAY, &octets(via)).attribute(RTA_OIF, &index.to_ne_bytes()).send()
}
