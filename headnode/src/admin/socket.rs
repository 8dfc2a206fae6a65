//! The socket of `serve`: the kernel says who is behind it, so users of this machine need no key. Its owner and root may all
//! that an `admin` key may; with `--operators` the members of a group may operate. That they are members the kernel knows:
//! it lets nobody else connect.

use std::future::{Ready, ready};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result, ensure};
use axum::extract::ConnectInfo;
use axum::middleware::AddExtension;
use axum::{Extension, Router};
use axum_server::Server;
use axum_server::accept::Accept;
use tokio::net::{UnixListener, UnixStream};
use tower::Layer as _;

use super::places::{Place, Places};
use super::{Caller, Scope};
use crate::data_dir::DataDir;
use crate::http::Connection;

/// What it is called where no other is wanted.
pub const NAME: &str = "admin.sock";
/// Connections at once, and those of one user who is neither root nor the owner.
const CONNECTIONS: usize = 64;
const EACH: usize = 16;
/// Where the system has its groups (group(5)).
const GROUPS: &str = "/etc/group";

/// The user at the other end, if the kernel knows.
#[derive(Clone, Copy, Debug)]
pub struct Peer(Option<u32>);

/// Lets connections in while there is room, and says who is behind each.
#[derive(Clone)]
struct Door(Places);

impl<S> Accept<UnixStream, S> for Door {
    type Stream = Connection<UnixStream, Place>;
    type Service = AddExtension<S, ConnectInfo<Peer>>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: UnixStream, service: S) -> Self::Future {
        let peer = Peer(stream.peer_cred().ok().map(|peer| peer.uid()));
        let scope = peer.caller(true).map_or(Scope::Read, |caller| caller.scope);
        let place = self.0.take(&peer.name(), scope).ok_or_else(|| io::ErrorKind::ConnectionRefused.into());
        let service = Extension(ConnectInfo(peer)).layer(service);
        ready(place.map(|place| (Connection::new(stream, place), service)))
    }
}

impl Peer {
    /// Who that is to us; `None` for nobody that we know.
    pub fn caller(self, operators: bool) -> Option<Caller> {
        let uid = self.0?;
        let ours = uid == 0 || uid == rustix::process::getuid().as_raw();
        let scope = if ours { Scope::Admin } else { Scope::Operate };
        (ours || operators).then(|| Caller { name: self.name(), whose: self.name(), scope })
    }

    /// As the log names it.
    pub fn name(self) -> String {
        self.0.map_or_else(|| "an unknown user".into(), |uid| format!("uid {uid}"))
    }
}

/// Makes the socket, in the place of one that an earlier `serve` left.
///
/// # Errors
/// When it cannot be made, there is something else, or there is no such group.
pub fn listen(dir: &DataDir, path: Option<&Path>, operators: Option<&str>) -> Result<UnixListener> {
    let path = path.map_or_else(|| dir.run(NAME), Path::to_owned);
    let make = || -> Result<UnixListener> {
        let there = fs::symlink_metadata(&path).ok();
        ensure!(there.is_none_or(|there| there.file_type().is_socket()), "there is a file that is no socket");
        // Made where nobody else comes: at its own place it has its final mode and group from the first moment.
        let folder = path.parent().context("a socket needs a folder")?;
        let hidden = tempfile::Builder::new().prefix(".s").tempdir_in(folder)?;
        let fresh = hidden.path().join("s");
        let listener = UnixListener::bind(&fresh)?;
        if let Some(group) = operators {
            chown(&fresh, None, Some(group_id(group)?))
                .with_context(|| format!("giving it to the group {group}, which serve's user must be in"))?;
        }
        let mode = if operators.is_some() { 0o660 } else { 0o600 };
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
        fs::rename(&fresh, &path)?;
        Ok(listener)
    };
    make().with_context(|| format!("making the socket {}", path.display()))
}

/// A group by its name or number.
fn group_id(group: &str) -> Result<u32> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let groups = fs::read_to_string(GROUPS).with_context(|| format!("reading {GROUPS}"))?;
    find(&groups, group).with_context(|| format!("{GROUPS} has no group `{group}`: give its number"))
}

fn find(groups: &str, name: &str) -> Option<u32> {
    let fields = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.filter(|fields| fields[0] == name).find_map(|fields| fields.get(2)?.parse().ok())
}

/// Serves for as long as it is asked; never, without a socket. Who says nothing for `patience` is not served.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: Option<UnixListener>, router: Router, patience: Duration) -> Result<()> {
    let Some(listener) = listener else { return std::future::pending().await };
    let mut server = Server::<SocketAddr>::from_listener(listener)
        .http1_only()
        .acceptor(Door(Places::new(CONNECTIONS, EACH)))
        .first_request_timeout(patience);
    server.http_builder().http1().header_read_timeout(patience);
    server.serve(router.into_make_service()).await.context("serving the socket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_users_are_who_the_kernel_says() {
        let scope = |uid, operators| Peer(uid).caller(operators).map(|caller| caller.scope);
        let own = rustix::process::getuid().as_raw();
        for ours in [0, own] {
            assert_eq!(scope(Some(ours), false), Some(Scope::Admin));
        }
        assert_eq!((scope(Some(own + 1), false), scope(Some(own + 1), true)), (None, Some(Scope::Operate)));
        assert_eq!(scope(None, true), None);
    }

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let groups = "root:x:0:\nops2:x:5:\nops:x:1042:ann,bob\nbroken\n";
        assert_eq!(
            (find(groups, "ops"), find(groups, "op"), find(groups, "broken")),
            (Some(1042), None, None)
        );
    }
}
