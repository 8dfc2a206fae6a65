//! A file server with faults, on loopback.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answer it.
    None,
    /// Answer with this status.
    Status(u16),
    /// Close in the middle of the body.
    Cut,
    /// Flip a bit of the body.
    Lie,
    /// Send the whole file, as if there were no Range.
    IgnoreRange,
}

/// Picks the fault by the path and the request's number, from 0.
pub type Faults = Box<dyn Fn(&str, usize) -> Fault + Send + Sync>;

/// The server; it ends with the test's process.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    ranges: Arc<Mutex<Vec<String>>>,
}

struct Site {
    root: PathBuf,
    faults: Faults,
    requests: Arc<AtomicUsize>,
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn new(root: &Path, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, connections, ranges) = (Arc::default(), Arc::new(AtomicUsize::new(0)), Arc::default());
        let site =
            Site { root: root.into(), faults, requests: Arc::clone(&requests), ranges: Arc::clone(&ranges) };
        let (site, count) = (Arc::new(site), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                let (site, stream) = (Arc::clone(&site), stream.unwrap());
                std::thread::spawn(move || site.serve(stream));
            }
        });
        Self { url, requests, connections, ranges }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How often each range was asked for, without those asked for once.
    pub fn asked_again(&self) -> usize {
        let ranges = self.ranges.lock().unwrap();
        let unique: std::collections::HashSet<_> = ranges.iter().collect();
        ranges.len() - unique.len()
    }
}

impl Site {
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            let path = line.split(' ').nth(1)?.to_owned();
            let mut range = None;
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).ok()?;
                if header.trim().is_empty() {
                    break;
                }
                let header = header.to_lowercase();
                range = range.or(header.strip_prefix("range: bytes=").map(|range| range.trim().to_owned()));
            }
            self.answer(&mut stream, &path, range)?;
        }
    }

    /// `None` closes the connection.
    fn answer(&self, stream: &mut TcpStream, path: &str, range: Option<String>) -> Option<()> {
        let fault = (self.faults)(path, self.requests.fetch_add(1, Ordering::Relaxed));
        let file = self.root.join(path.trim_start_matches('/'));
        let status = match fault {
            Fault::Status(status) => Some(status),
            _ if !file.exists() => Some(404),
            _ => None,
        };
        if let Some(status) = status {
            return write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno").ok();
        }
        let size = fs::metadata(&file).ok()?.len();
        let asked = range.filter(|_| fault != Fault::IgnoreRange);
        let (first, last) = match &asked {
            Some(text) => {
                self.ranges.lock().unwrap().push(format!("{path} {text}"));
                let (first, last) = text.split_once('-')?;
                (first.parse().ok()?, last.parse::<u64>().ok()?.min(size - 1))
            }
            None => (0, size - 1),
        };
        let mut body = vec![0; (last - first + 1) as usize];
        let mut opened = fs::File::open(&file).ok()?;
        std::io::Seek::seek(&mut opened, std::io::SeekFrom::Start(first)).ok()?;
        opened.read_exact(&mut body).ok()?;
        let head = match asked {
            Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{size}"),
            None => "200 OK".to_owned(),
        };
        if fault == Fault::Lie {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).ok()?;
        if fault == Fault::Cut {
            stream.write_all(&body[..body.len() / 2]).ok()?;
            return None;
        }
        stream.write_all(&body).ok()
    }
}
