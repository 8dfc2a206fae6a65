//! Packet sockets (packet(7)): hearing DHCP requests whoever answers them, asking by ARP whether an address is in use, and
//! asking for DHCP servers.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::net::netdevice::name_to_index;
use socket2::{Domain, SockAddr, SockAddrStorage, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use crate::addresses::Mac;
use crate::dhcp::client::{self, CLIENT_PORT, Offer};
use crate::dhcp::packet::{self, Packet, SERVER_PORT};
use crate::log;

/// Larger than any Ethernet frame without jumbo; a request has 300 to 600 bytes.
const FRAME_MAX: usize = 2048;
/// How long an answer may take, and how often is asked: who is there answers within milliseconds.
const PATIENCE: Duration = Duration::from_millis(150);
const PROBES: u32 = 2;

type Ethernet = [u8; 6];
const BROADCAST: Ethernet = [0xff; 6];
/// ARP for IPv4 on Ethernet (RFC 826): hardware type, protocol, their lengths, and what is asked.
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];

/// Lets through what has UDP's number, is no later part of a packet, and goes to a DHCP server's port: else each packet of
/// an image on its way would be copied to us. What bpf(4) calls `ld [9]`, `jeq`, `ldh [6]`, `jset`, `ldxb 4*([0]&0xf)`,
/// `ldh [x+2]`, `jeq`, `ret`.
const TO_SERVER: [SockFilter; 9] = [
    SockFilter::new(0x30, 0, 0, 9),
    SockFilter::new(0x15, 0, 6, 17),
    SockFilter::new(0x28, 0, 0, 6),
    SockFilter::new(0x45, 4, 0, 0x1fff),
    SockFilter::new(0xb1, 0, 0, 0),
    SockFilter::new(0x48, 0, 0, 2),
    SockFilter::new(0x15, 0, 1, SERVER_PORT as u32),
    SockFilter::new(0x06, 0, 0, 0xffff),
    SockFilter::new(0x06, 0, 0, 0),
];

/// The same for what goes to a client's port.
const TO_CLIENT: [SockFilter; 9] = {
    let mut filter = TO_SERVER;
    filter[6] = SockFilter::new(0x15, 0, 1, CLIENT_PORT as u32);
    filter
};

/// Hears what machines ask DHCP servers for.
pub struct Listener(Link);

impl Listener {
    /// From now on.
    ///
    /// # Errors
    /// When there is no such interface, or for want of rights.
    pub fn open(interface: &str) -> Result<Self> {
        Ok(Self(Link::open(interface, libc::ETH_P_IP, &TO_SERVER)?))
    }

    /// The next request. May be dropped while it waits.
    ///
    /// # Errors
    /// When the socket breaks.
    pub async fn next(&self) -> Result<Packet> {
        loop {
            if let Some(packet) = heard(&self.0.receive().await?) {
                return Ok(packet);
            }
        }
    }

    /// The next of those that came already.
    pub fn waiting(&self) -> Option<Packet> {
        loop {
            let frame = receive(self.0.socket.get_ref()).ok()?;
            if let Some(packet) = heard(&frame) {
                return Some(packet);
            }
        }
    }
}

fn heard(frame: &[u8]) -> Option<Packet> {
    packet::read(packet::to_server(frame)?).ok()
}

/// Asks a link who has these addresses, as a machine does before it takes one (RFC 5227); the answers. A machine that a
/// firewall keeps from answering pings answers this.
///
/// # Errors
/// When there is no such interface, or for want of rights.
pub async fn who_has(interface: &str, addresses: &[Ipv4Addr]) -> Result<HashMap<Ipv4Addr, Mac>> {
    let mut answers = HashMap::new();
    let link = Link::open(interface, libc::ETH_P_ARP, &[])?;
    let own = link.own().context("asking for the interface's own address")?;
    for _ in 0..PROBES {
        for address in addresses.iter().filter(|address| !answers.contains_key(*address)) {
            let question = [&ARP_REQUEST[..], &own, &[0; 4], &[0; 6], &address.octets()].concat();
            link.broadcast(&question).with_context(|| format!("asking {interface} who has {address}"))?;
        }
        let listen = async {
            while answers.len() < addresses.len() {
                if let Some((address, mac)) = sender(&link.receive().await?)
                    && addresses.contains(&address)
                {
                    answers.insert(address, mac);
                }
            }
            Ok::<(), io::Error>(())
        };
        // Silence is an answer too.
        if let Ok(listened) = timeout(PATIENCE, listen).await {
            listened?;
        }
    }
    Ok(answers)
}

/// What DHCP servers on a link offer, in the time that `patience` is, to a machine that says these options of itself. No
/// offer is taken.
///
/// # Errors
/// When there is no such interface, or for want of rights.
pub async fn offers(interface: &str, patience: Duration, options: &[(u8, &[u8])]) -> Result<Vec<Offer>> {
    let link = Link::open(interface, libc::ETH_P_IP, &TO_CLIENT)?;
    let mut id = [0; 4];
    getrandom::fill(&mut id).context("reading random numbers")?;
    let id = u32::from_ne_bytes(id);
    let question = packet::broadcast(&client::discover(id, options));
    link.broadcast(&question).with_context(|| format!("sending a DHCPDISCOVER on {interface}"))?;
    let mut offers = Vec::new();
    let listen = async {
        loop {
            let frame = link.receive().await?;
            offers.extend(packet::to_client(&frame).and_then(|payload| client::offer(payload, id)));
        }
    };
    match timeout(patience, listen).await {
        Ok(broken) => broken,
        Err(_) => Ok(offers),
    }
}

/// Who says with an ARP packet, question or answer, that an address is its own.
fn sender(arp: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    if arp.get(..6)? != &ARP_REQUEST[..6] {
        return None;
    }
    let address: [u8; 4] = arp.get(14..18)?.try_into().ok()?;
    Some((Ipv4Addr::from(address), Mac::from_bytes(arp.get(8..14)?.try_into().ok()?)))
}

/// A socket for one protocol's packets on one interface, without their link headers.
struct Link {
    socket: AsyncFd<Socket>,
    interface: u32,
    protocol: i32,
}

impl Link {
    /// `filter` is there before the first packet is: a socket that is not bound to a protocol gets none.
    fn open(interface: &str, protocol: i32, filter: &[SockFilter]) -> Result<Self> {
        let open = || -> io::Result<Self> {
            let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
            if !filter.is_empty() {
                socket.attach_filter(filter)?;
            }
            let index = name_to_index(&socket, interface)?;
            socket.bind(&address(index, protocol, None))?;
            // SAFETY: the socket owns its descriptor, and is never taken or changed behind the registration.
            let socket = unsafe { AsyncFd::register(socket) }?;
            Ok(Self { socket, interface: index, protocol })
        };
        open().with_context(|| format!("opening a packet socket on {interface} (needs root)"))
    }

    async fn receive(&self) -> io::Result<Vec<u8>> {
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| receive(socket.get_ref())) {
                Ok(Err(error)) if error.kind() == ErrorKind::NetworkDown => {
                    log::line(format_args!("the interface is down; waiting for it"));
                }
                Ok(received) => return received,
                Err(_would_block) => {}
            }
        }
    }

    fn broadcast(&self, bytes: &[u8]) -> io::Result<()> {
        let to = address(self.interface, self.protocol, Some(BROADCAST));
        self.socket.get_ref().send_to(bytes, &to).map(drop)
    }

    /// The interface's own address.
    fn own(&self) -> io::Result<Ethernet> {
        let mut name = self.socket.get_ref().local_addr()?.as_storage();
        // SAFETY: the kernel names a packet socket by a sockaddr_ll (packet(7)), all of whose fields are numbers.
        let ll: &libc::sockaddr_ll = unsafe { name.view_as() };
        let mut own = Ethernet::default();
        own.copy_from_slice(&ll.sll_addr[..6]);
        Ok(own)
    }
}

fn receive(socket: &Socket) -> io::Result<Vec<u8>> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); FRAME_MAX];
    let length = socket.recv(&mut buffer)?;
    // SAFETY: recv(2) has written the first `length` bytes.
    Ok(buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect())
}

fn address(interface: u32, protocol: i32, to: Option<Ethernet>) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the kernel's addresses, and all of its fields are numbers.
    let ll: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    ll.sll_family = libc::AF_PACKET as u16;
    ll.sll_protocol = (protocol as u16).to_be();
    ll.sll_ifindex = interface as i32;
    if let Some(to) = to {
        ll.sll_halen = to.len() as u8;
        ll.sll_addr[..to.len()].copy_from_slice(&to);
    }
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds a sockaddr_ll of that length.
    unsafe { SockAddr::new(storage, length) }
}
