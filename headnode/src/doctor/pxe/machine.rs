//! What a machine does that boots: asks for an address, takes it, fetches files.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::dhcp::client::{self, CLIENT_PORT, Offer};
use crate::dhcp::packet::SERVER_PORT;

/// How long an answer may take, and how often is asked: the machine under the test may be busy.
const PATIENCE: Duration = Duration::from_secs(2);
const QUESTIONS: u32 = 5;
/// No boot file is so large.
const FILE_MAX: usize = 64 << 20;
const TFTP_PORT: u16 = 69;
/// What a block has but the last (RFC 1350).
const BLOCK: usize = 512;
/// Opcodes of TFTP (RFC 1350, 5).
mod opcode {
    pub const READ: u8 = 1;
    pub const DATA: u8 = 3;
    pub const ACK: u8 = 4;
    pub const ERROR: u8 = 5;
}

/// A machine without an address, at the end of its wire.
pub struct Machine {
    interface: String,
    socket: UdpSocket,
}

impl Machine {
    /// At the wire of this number, in the network namespace of the thread that calls.
    ///
    /// # Errors
    /// When the wire is not there.
    pub fn plug_in(wire: usize) -> Result<Self> {
        let interface = format!("pxe{wire}");
        ip(&["link", "set", &interface, "up"])?;
        for of in ["all", interface.as_str()] {
            // Who has no address yet has no way back to anybody, and answers would be dropped.
            let path = format!("/proc/sys/net/ipv4/conf/{of}/rp_filter");
            fs::write(&path, "0").with_context(|| format!("writing {path}"))?;
        }
        let open = || -> std::io::Result<UdpSocket> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_broadcast(true)?;
            socket.bind_device(Some(interface.as_bytes()))?;
            socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT_PORT))))?;
            Ok(socket.into())
        };
        let socket = open().with_context(|| format!("opening a socket on {interface}"))?;
        Ok(Self { interface, socket })
    }

    /// What a server offers to a machine that says these options of itself.
    ///
    /// # Errors
    /// When nobody offers anything.
    pub fn discover(&self, options: &[(u8, &[u8])]) -> Result<Offer> {
        let mut buffer = [0; 2048];
        for _ in 0..QUESTIONS {
            let id = u32::from_ne_bytes(random()?);
            let to = (Ipv4Addr::BROADCAST, SERVER_PORT);
            self.socket.send_to(&client::discover(id, options), to).context("sending a DHCPDISCOVER")?;
            let end = Instant::now() + PATIENCE;
            while let Some(length) = receive(&self.socket, &mut buffer, end)? {
                if let Some(offer) = client::offer(&buffer[..length.0], id) {
                    return Ok(offer);
                }
            }
        }
        bail!("no offer came in {} s", PATIENCE.as_secs() * u64::from(QUESTIONS))
    }

    /// Takes an address.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn take(&self, address: Ipv4Addr, prefix: u8) -> Result<()> {
        ip(&["address", "replace", &format!("{address}/{prefix}"), "dev", &self.interface])
    }

    /// A file by TFTP.
    ///
    /// # Errors
    /// When it does not come, or not to its end.
    pub fn fetch(&self, server: Ipv4Addr, file: &str) -> Result<Vec<u8>> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("opening a socket")?;
        let mut say = [&[0, opcode::READ][..], file.as_bytes(), b"\0octet\0"].concat();
        let mut to = SocketAddr::from((server, TFTP_PORT));
        let (mut bytes, mut block, mut buffer) = (Vec::new(), 1u16, [0; BLOCK + 4]);
        loop {
            let (length, from) = exchange(&socket, &say, to, &mut buffer, block)?;
            bytes.extend_from_slice(&buffer[4..length]);
            ensure!(bytes.len() <= FILE_MAX, "it does not end");
            to = from;
            say = [&[0, opcode::ACK][..], &block.to_be_bytes()].concat();
            block = block.wrapping_add(1);
            if length < BLOCK + 4 {
                socket.send_to(&say, to)?;
                return Ok(bytes);
            }
        }
    }
}

/// Says something until the block comes; its length with its head, and from where.
fn exchange(
    socket: &UdpSocket,
    say: &[u8],
    to: SocketAddr,
    buffer: &mut [u8],
    block: u16,
) -> Result<(usize, SocketAddr)> {
    for _ in 0..QUESTIONS {
        socket.send_to(say, to)?;
        let end = Instant::now() + PATIENCE;
        while let Some((length, from)) = receive(socket, buffer, end)? {
            match buffer.get(..4) {
                Some([0, opcode::DATA, number @ ..]) if length >= 4 && *number == block.to_be_bytes() => {
                    return Ok((length, from));
                }
                Some([0, opcode::ERROR, ..]) => {
                    let why = String::from_utf8_lossy(buffer.get(4..length).unwrap_or_default());
                    bail!("the server says: {}", why.trim_end_matches('\0'));
                }
                _ => {}
            }
        }
    }
    bail!("block {block} did not come")
}

/// The next datagram that comes before `end`.
fn receive(socket: &UdpSocket, buffer: &mut [u8], end: Instant) -> Result<Option<(usize, SocketAddr)>> {
    let rest = end.saturating_duration_since(Instant::now());
    if rest.is_zero() {
        return Ok(None);
    }
    socket.set_read_timeout(Some(rest))?;
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => Ok(None),
        Err(error) => Err(error).context("waiting for an answer"),
    }
}

/// All that a server says to a GET; `None`: nobody listens there.
///
/// # Errors
/// When the address cannot be reached, or the answer does not end.
pub fn http(address: Ipv4Addr, port: u16, path: &str) -> Result<Option<String>> {
    let socket = SocketAddr::from((address, port));
    let mut stream = match TcpStream::connect_timeout(&socket, PATIENCE) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
        stream => stream.with_context(|| format!("connecting to {socket}"))?,
    };
    stream.set_read_timeout(Some(PATIENCE * QUESTIONS))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {socket}\r\n\r\n").context("asking")?;
    let mut answer = Vec::new();
    stream.take(FILE_MAX as u64).read_to_end(&mut answer).context("reading the answer")?;
    Ok(Some(String::from_utf8_lossy(&answer).into_owned()))
}

/// `ip`, in the network namespace of this thread.
pub fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output().context("running `ip` (Debian: iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", args.join(" "), said.trim());
    Ok(())
}

fn random() -> Result<[u8; 4]> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).context("reading random numbers")?;
    Ok(bytes)
}
