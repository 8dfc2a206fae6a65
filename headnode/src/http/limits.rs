//! How many connections there may be, in all and from one address: who opens many and says little takes no place from
//! others, nor all file descriptors.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// From one address. A node has a dozen while it unpacks an image; behind a cache or a NAT there may be many nodes.
const PER_SENDER: usize = 256;
/// In all.
const TOTAL: usize = 4096;
/// A connection has a file beside its socket while one is sent; the rest of the program wants some, too.
const FILES: u64 = 2 * TOTAL as u64 + 256;

/// Lets connections in while there is room; all listeners share one.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Gate {
    /// A gate, and as many file descriptors as it may need, if the system lets us.
    pub fn new() -> Self {
        let limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|current| current < FILES) {
            let current = Some(limit.maximum.map_or(FILES, |maximum| maximum.min(FILES)));
            // Without it there are fewer places: whoever finds none tries again.
            let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limit });
        }
        Self::default()
    }

    fn enter(&self, sender: IpAddr) -> Option<Place> {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, own) = (inside.values().sum::<usize>(), inside.get(&sender).copied().unwrap_or_default());
        if total >= TOTAL || own >= PER_SENDER {
            return None;
        }
        inside.insert(sender, own + 1);
        Some(Place { gate: self.clone(), sender })
    }
}

/// A connection's place, until it ends.
pub struct Place {
    gate: Gate,
    sender: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = inside.get_mut(&self.sender) {
            *own -= 1;
            if *own == 0 {
                inside.remove(&self.sender);
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Gate {
    type Stream = Connection<TcpStream, Place>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = stream.peer_addr().map(|peer| self.enter(peer.ip().to_canonical()));
        ready(place.and_then(|place| {
            let place = place.ok_or(io::ErrorKind::ConnectionRefused)?;
            Ok((Connection::new(stream, place), service))
        }))
    }
}

/// A connection that has a place.
pub struct Connection<S, P> {
    stream: S,
    _place: P,
}

impl<S, P> Connection<S, P> {
    /// `stream`, which has `place` until it ends.
    pub fn new(stream: S, place: P) -> Self {
        Self { stream, _place: place }
    }
}

impl<S: AsyncRead + Unpin, P: Unpin> AsyncRead for Connection<S, P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin, P: Unpin> AsyncWrite for Connection<S, P> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_places_are_counted_and_given_back() {
        let gate = Gate::default();
        let address = |number: usize| IpAddr::from([10, 0, 1, u8::try_from(number).unwrap()]);
        let mut places: Vec<Place> = (0..PER_SENDER).map(|_| gate.enter(address(0)).unwrap()).collect();
        assert!(gate.enter(address(0)).is_none(), "one sender");
        for sender in 1..TOTAL / PER_SENDER {
            places.extend((0..PER_SENDER).map(|_| gate.enter(address(sender)).unwrap()));
        }
        assert!(gate.enter(address(99)).is_none(), "in all");
        places.pop();
        assert!(gate.enter(address(99)).is_some());
        places.clear();
        assert!(gate.0.lock().unwrap().is_empty());
    }
}
