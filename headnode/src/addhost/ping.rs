//! Asking addresses beyond a router whether somebody has them: ICMP echo (RFC 792). On a link ARP is asked instead.

use std::collections::HashSet;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// Across a campus, with a host that was asleep.
const PATIENCE: Duration = Duration::from_millis(500);
const REQUEST: u8 = 8;
const REPLY: u8 = 0;
/// Ours, among the answers to everybody's pings on this machine.
const IDENTIFIER: [u8; 2] = *b"ca";

/// Those of the addresses that answer.
///
/// # Errors
/// For want of rights.
pub async fn ping(addresses: &[Ipv4Addr]) -> Result<HashSet<Ipv4Addr>> {
    let socket = open().context("opening a socket for pings (needs root)")?;
    for address in addresses {
        // What the kernel knows no way to has nobody.
        let _ = socket.get_ref().send_to(&request(), &SocketAddr::V4(SocketAddrV4::new(*address, 0)).into());
    }
    let mut answers = HashSet::new();
    let listen = async {
        while answers.len() < addresses.len() {
            if let Some(address) = replied(&receive(&socket).await?)
                && addresses.contains(&address)
            {
                answers.insert(address);
            }
        }
        Ok::<(), io::Error>(())
    };
    // Silence is an answer too.
    match timeout(PATIENCE, listen).await {
        Ok(listened) => listened.context("waiting for answers to pings")?,
        Err(_silence) => {}
    }
    Ok(answers)
}

fn open() -> io::Result<AsyncFd<Socket>> {
    let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking().cloexec(), Some(Protocol::ICMPV4))?;
    // SAFETY: the socket owns its descriptor, and is never taken or changed behind the registration.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

async fn receive(socket: &AsyncFd<Socket>) -> io::Result<Vec<u8>> {
    loop {
        let mut ready = socket.readable().await?;
        let received = ready.try_io(|socket| {
            let mut buffer = [MaybeUninit::<u8>::uninit(); 256];
            let length = socket.get_ref().recv(&mut buffer)?;
            // SAFETY: recv(2) has written the first `length` bytes.
            Ok(buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect())
        });
        if let Ok(received) = received {
            return received;
        }
    }
}

/// Type, code, checksum, identifier, sequence.
fn request() -> [u8; 8] {
    let mut request = [REQUEST, 0, 0, 0, IDENTIFIER[0], IDENTIFIER[1], 0, 1];
    let sum: u32 = request.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    request[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    request
}

/// Who sent a packet, if it answers us.
fn replied(ip: &[u8]) -> Option<Ipv4Addr> {
    let icmp = ip.get(usize::from(ip.first()? & 0xf) * 4..)?;
    let ours = *icmp.first()? == REPLY && icmp.get(4..6)? == IDENTIFIER;
    let source: [u8; 4] = ip.get(12..16)?.try_into().ok()?;
    ours.then(|| Ipv4Addr::from(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_checksum_and_only_replies_count() {
        let request = request();
        let sum: u32 = request.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        assert_eq!(sum, 0xffff);
        let mut ip = vec![0x45; 20];
        ip[12..16].copy_from_slice(&[10, 2, 0, 7]);
        assert_eq!(replied(&[&ip[..], &request].concat()), None, "our own");
        let reply = [&[REPLY][..], &request[1..]].concat();
        assert_eq!(replied(&[&ip[..], &reply].concat()), Some(Ipv4Addr::new(10, 2, 0, 7)));
        assert_eq!(replied(&ip), None);
        assert_eq!(replied(&[]), None);
    }

    /// Needs root.
    #[tokio::test]
    async fn this_machine_answers() {
        let here = Ipv4Addr::new(127, 0, 0, 9);
        assert_eq!(ping(&[here]).await.unwrap(), HashSet::from([here]));
    }
}
