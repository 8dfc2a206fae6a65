//! Who holds a port: `/proc/net` of our network namespace (proc(5)), and the processes' open files.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result};

/// `TCP_LISTEN` of the kernel's net/tcp_states.h.
const LISTEN: &str = "0A";
/// A UDP socket that no peer is fixed for has the state `TCP_CLOSE`.
const UNCONNECTED: &str = "07";

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number; `None`: it is in another PID namespace, or ended meanwhile.
    pub pid: Option<u32>,
    /// As `dnsmasq`.
    pub name: String,
    /// Where it listens; unspecified: everywhere.
    pub address: Ipv4Addr,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "{} (process {pid})", self.name),
            None => f.write_str("a process that cannot be seen from here"),
        }
    }
}

impl Holder {
    /// Whether it has this file open.
    pub fn has_open(&self, path: &Path) -> bool {
        self.links().iter().any(|link| Path::new(link) == path)
    }

    /// Whether it was started with this word.
    pub fn was_told(&self, word: &Path) -> bool {
        let arguments = self.pid.and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok());
        let word = word.as_os_str().as_encoded_bytes();
        arguments.unwrap_or_default().split(|byte| *byte == 0).any(|argument| argument == word)
    }

    fn links(&self) -> Vec<String> {
        self.pid.map(links).unwrap_or_default()
    }
}

/// Who listens on a TCP port.
///
/// # Errors
/// When /proc cannot be read.
pub fn tcp(port: u16) -> Result<Vec<Holder>> {
    holders(["tcp", "tcp6"], LISTEN, port)
}

/// Who waits on a UDP port.
///
/// # Errors
/// When /proc cannot be read.
pub fn udp(port: u16) -> Result<Vec<Holder>> {
    holders(["udp", "udp6"], UNCONNECTED, port)
}

fn holders(tables: [&str; 2], state: &str, port: u16) -> Result<Vec<Holder>> {
    let mut found = Vec::new();
    for table in tables {
        let path = format!("/proc/self/net/{table}");
        match fs::read_to_string(&path) {
            Ok(text) => found.extend(rows(&text, state, port)),
            // A kernel without IPv6.
            Err(_) if table.ends_with('6') => {}
            Err(error) => return Err(error).context(format!("reading {path}")),
        }
    }
    let mut holders: Vec<Holder> =
        found.into_iter().map(|(address, inode)| holder(address, &inode)).collect();
    holders.dedup();
    Ok(holders)
}

/// Local address and inode of the sockets in a state on a port. Of IPv6 only those that IPv4 may come to.
fn rows(table: &str, state: &str, port: u16) -> Vec<(Ipv4Addr, String)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, local) = words.get(1)?.split_once(':')?;
        let right = u16::from_str_radix(local, 16).ok()? == port && *words.get(3)? == state;
        let address = match address {
            "00000000000000000000000000000000" => Ipv4Addr::UNSPECIFIED,
            // The address as it is in memory, printed as a number of this machine.
            short if short.len() == 8 => Ipv4Addr::from(u32::from_str_radix(short, 16).ok()?.to_ne_bytes()),
            _ => return None,
        };
        right.then(|| Some((address, (*words.get(9)?).to_owned())))?
    };
    table.lines().skip(1).filter_map(row).collect()
}

fn holder(address: Ipv4Addr, inode: &str) -> Holder {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pid = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| links(*pid).contains(&socket));
    let name = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    Holder { pid, name: name.unwrap_or_default().trim().to_owned(), address }
}

/// What a process has open.
fn links(pid: u32) -> Vec<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let link = |file: fs::DirEntry| Some(fs::read_link(file.path()).ok()?.to_str()?.to_owned());
    files.filter_map(link).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn own_sockets_are_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let held = tcp(port).unwrap();
        let holder = held.iter().find(|holder| holder.pid == Some(std::process::id())).expect("us");
        assert_eq!(holder.address, Ipv4Addr::LOCALHOST);
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let held = udp(socket.local_addr().unwrap().port()).unwrap();
        assert!(held.iter().any(|holder| holder.pid == Some(std::process::id())), "{held:?}");
        drop(listener);
        assert!(tcp(port).unwrap().iter().all(|holder| holder.pid != Some(std::process::id())));
    }

    #[test]
    fn holders_are_known_by_what_they_have() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = String::new();
        let us = Holder { pid: Some(std::process::id()), name, address: Ipv4Addr::UNSPECIFIED };
        assert!(us.has_open(file.path()) && !us.has_open(Path::new("/nowhere")));
        let program = std::env::args_os().next().unwrap();
        assert!(us.was_told(Path::new(&program)) && !us.was_told(Path::new("/nowhere")));
    }
}
