//! `headnode serve`: both HTTP sides, dnsmasq, and an eye on the store.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::admin::{Desk, socket};
use crate::boot_files::{Loader, loaders, looked_in};
use crate::cli;
use crate::data_dir::DataDir;
use crate::dhcp::child::{self, Dnsmasq};
use crate::dhcp::config::{self, Files, Managed};
use crate::dhcp::leases::Link;
use crate::http::{self, App, Gate, Shared};
use crate::keys::live::{Live, Served};
use crate::localboot;
use crate::log;
use crate::meter::Meter;
use crate::plugins::follow::follow;
use crate::recipe::{HTTP_PORT, HTTPS_PORT};
use crate::rollout;
use crate::script::LOCAL_BOOT;
use crate::store::Store;
use crate::store::inventory::Network;

/// How often the store is looked at: a pragma that reads one page.
const LOOK: Duration = Duration::from_millis(500);
/// Who has not asked for anything so long after connecting, or after the last answer, is not served.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// What a running transfer gets at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Two processes get one signal so long apart.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Logs that are received at once, each of 8 MiB at most: a power failure or a broken mirror makes all nodes fail together.
const LOG_BODIES: usize = 8;

/// Tokens and sessions that an address may ask for in a minute: a rack behind a NAT that boots at once, many times over.
const CALLS: u32 = 3000;

/// Boot scripts and times: those of a rack that waits for a person ask six times a minute each.
const ASKS: u32 = 2 * CALLS;

type Web = JoinSet<Result<()>>;

/// Runs until it is told to end.
///
/// # Errors
/// When something cannot be started, or a listener breaks.
pub async fn run(dir: &DataDir, store: Store, options: &cli::Serve) -> Result<()> {
    let mut ended = pin!(asked_to_end()?);
    let networks = store.networks().await?;
    let mut ours: Vec<Ipv4Addr> = networks.iter().map(|network| network.address).collect();
    // Networks behind relays share another's.
    ours.sort();
    ours.dedup();
    let listen = if options.listen.is_empty() { &ours } else { &options.listen };
    ensure!(
        !listen.is_empty(),
        "there is no network to serve: add one with `headnode network add`, or use --listen"
    );
    let local_boot = boot_files(dir, options.programs.ipxe_dir.as_deref());
    let ports = (store.port("http-port", HTTP_PORT).await?, store.port("https-port", HTTPS_PORT).await?);
    let app = App::new(Shared {
        store: store.clone(),
        keys: Live::load(dir)?,
        dir: dir.clone(),
        link: Link { leases: dir.run("leases"), arp: PathBuf::from("/proc/net/arp") },
        local_boot,
        https_port: ports.1,
        logs: tokio::sync::Mutex::default(),
        log_bodies: tokio::sync::Semaphore::new(LOG_BODIES),
        desk: Desk::new(options.operators.is_some()),
        calls: Meter::new(CALLS, Duration::from_secs(60)),
        asks: Meter::new(ASKS, Duration::from_secs(60)),
    });
    let mut served = Served::new(dir, [ours.as_slice(), listen].concat())?;
    let handle = Handle::new();
    let mut web = listeners(listen, ports, &app, &served.config, &handle)?;

    let socket = socket(dir, options)?;

    let managed = Managed::all(&networks);
    advise(&managed);
    let hosts = Hosts { path: dir.run("hosts"), reload: Notify::new() };
    hosts.update(&store).await?;
    let dnsmasq = configure_dnsmasq(dir, &managed, ports.0, &options.programs.dnsmasq)?;
    let Some(mut running) = start(dnsmasq.as_ref(), ended.as_mut()).await? else { return Ok(()) };
    log::line(format_args!("{}", ready(listen, ports, &managed)));
    let outcome = tokio::select! {
        () = keep(dnsmasq.as_ref(), running.as_mut(), &hosts.reload) => Ok(()),
        outcome = watch(&store, &hosts, &networks) => outcome,
        () = served.follow(&app.keys) => Ok(()),
        outcome = follow(dir, &store) => outcome,
        outcome = rollout::keep(&store) => outcome,
        outcome = socket::serve(socket, http::local(app.clone()), FIRST_REQUEST) => outcome,
        outcome = web.join_next() => outcome.context("nothing is served")?.context("serving")?,
        name = ended => {
            ending(name);
            Ok(())
        }
    };
    handle.graceful_shutdown(Some(FAREWELL));
    if let Some(running) = running {
        running.stop().await;
    }
    while web.join_next().await.is_some() {}
    outcome
}

/// Starts dnsmasq, if there is to be one; `None` if we are to end before it serves. It often gets the same signal: what it
/// says of its own end is no error then.
async fn start(
    dnsmasq: Option<&Dnsmasq>,
    mut ended: Pin<&mut impl Future<Output = &'static str>>,
) -> Result<Option<Option<child::Running>>> {
    let Some(dnsmasq) = dnsmasq else { return Ok(Some(None)) };
    let name = tokio::select! {
        name = ended.as_mut() => name,
        started = dnsmasq.start() => match started {
            Ok(running) => return Ok(Some(Some(running))),
            Err(error) => tokio::time::timeout(SAME_SIGNAL, ended).await.map_err(|_| error)?,
        },
    };
    ending(name);
    Ok(None)
}

fn ending(signal: &str) {
    log::line(format_args!("{signal}: ending"));
}

/// Nodes need no socket: one that nobody asked for does not keep them from being served.
fn socket(dir: &DataDir, options: &cli::Serve) -> Result<Option<tokio::net::UnixListener>> {
    match socket::listen(dir, options.socket.as_deref(), options.operators.as_deref()) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if options.socket.is_some() => Err(error),
        Err(error) => {
            log::line(format_args!("{error:#}: there is none"));
            Ok(None)
        }
    }
}

async fn keep(dnsmasq: Option<&Dnsmasq>, running: Option<&mut child::Running>, reload: &Notify) {
    match dnsmasq.zip(running) {
        Some((dnsmasq, running)) => dnsmasq.keep(running, reload).await,
        None => std::future::pending().await,
    }
}

fn ready(listen: &[Ipv4Addr], (http, https): (u16, u16), managed: &[Managed]) -> String {
    let urls = listen.iter().map(|ip| format!("http://{ip}:{http} https://{ip}:{https}"));
    let mut interfaces: Vec<&str> =
        managed.iter().map(|managed| managed.network.interface.as_str()).collect();
    interfaces.dedup();
    let dhcp =
        if interfaces.is_empty() { String::new() } else { format!(" dhcp on {}", interfaces.join(", ")) };
    format!("serving {}{dhcp}", urls.collect::<Vec<_>>().join(" "))
}

/// Binds all addresses before it serves any.
fn listeners(
    addresses: &[Ipv4Addr],
    (http, https): (u16, u16),
    app: &App,
    tls: &RustlsConfig,
    handle: &Handle<SocketAddr>,
) -> Result<Web> {
    let bind = |ip: &Ipv4Addr, port: u16| -> Result<TcpListener> {
        let listener = TcpListener::bind((*ip, port)).with_context(|| format!("listening on {ip}:{port}"))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let mut bound = Vec::new();
    for ip in addresses {
        bound.push((bind(ip, http)?, bind(ip, https)?));
    }
    let mut web = Web::new();
    let gate = Gate::new();
    let make = |router: Router| router.into_make_service_with_connect_info::<SocketAddr>();
    for (plain, secure) in bound {
        // HTTP/2 would have many files open on one connection, and none of these limits.
        let mut plain = axum_server::from_tcp(plain)?
            .http1_only()
            .acceptor(gate.clone())
            .handle(handle.clone())
            .first_request_timeout(FIRST_REQUEST);
        // GRUB before 2.12 knows no `content-length`, and waits for more after the last byte until it gives up.
        plain.http_builder().http1().title_case_headers(true).header_read_timeout(FIRST_REQUEST);
        let service = make(http::plain(app.clone()));
        web.spawn(async move { plain.serve(service).await.context("serving plain HTTP") });
        let acceptor = RustlsAcceptor::new(tls.clone()).acceptor(gate.clone());
        let mut secure = axum_server::from_tcp(secure)?
            .http1_only()
            .acceptor(acceptor)
            .handle(handle.clone())
            .first_request_timeout(FIRST_REQUEST);
        secure.http_builder().http1().header_read_timeout(FIRST_REQUEST);
        let service = make(http::secure(app.clone()));
        web.spawn(async move { secure.serve(service).await.context("serving TLS") });
    }
    Ok(web)
}

/// Fills the TFTP root. Whether there is a helper for UEFI nodes' local disks.
fn boot_files(dir: &DataDir, ipxe: Option<&Path>) -> bool {
    let tftp = dir.run("tftp");
    for Loader { name, source } in loaders(ipxe) {
        let copy = |source| fs::create_dir_all(&tftp).and_then(|()| fs::copy(source, tftp.join(name)));
        if source.is_none_or(|source| copy(source).is_err()) {
            log::line(format_args!(
                "no {name} from {}: install your distribution's iPXE (Debian: ipxe) or give --ipxe-dir; \
                 machines without an iPXE of their own cannot boot",
                looked_in(ipxe)
            ));
        }
    }
    match localboot::make(&tftp.join(LOCAL_BOOT)) {
        Ok(()) => true,
        Err(error) => {
            log::line(format_args!(
                "{error:#}: installed UEFI nodes will start their disk slowly (docs/headnode.md, Local boot)"
            ));
            false
        }
    }
}

fn advise(managed: &[Managed]) {
    let waits = |managed: &&Managed| managed.prefixes.is_empty() && !managed.network.is_relayed();
    for Managed { network, .. } in managed.iter().filter(waits) {
        log::line(format_args!(
            "{0} has no IPv6 address of its own, so iPXE waits 13 s for a router at each boot; \
             `ip address add fd77::1/64 dev {0}` before the start ends that",
            network.interface
        ));
    }
}

fn configure_dnsmasq(
    dir: &DataDir,
    managed: &[Managed],
    http_port: u16,
    program: &Path,
) -> Result<Option<Dnsmasq>> {
    if managed.is_empty() {
        return Ok(None);
    }
    let (tftp, hosts, leases) = (dir.run("tftp"), dir.run("hosts"), dir.run("leases"));
    let files = Files { tftp: &tftp, hosts: &hosts, leases: &leases, user: "root" };
    let config = dir.run("dnsmasq.conf");
    fs::write(&config, config::dnsmasq(managed, files, http_port))
        .with_context(|| format!("writing {}", config.display()))?;
    let program = child::find(program).with_context(|| {
        format!(
            "there is no {}: install it (Debian: dnsmasq-base), or use --dhcp external",
            program.display()
        )
    })?;
    Ok(Some(Dnsmasq { program, config }))
}

/// dnsmasq's host file.
struct Hosts {
    path: PathBuf,
    reload: Notify,
}

impl Hosts {
    /// Writes it if the nodes changed, and says whether they did.
    async fn update(&self, store: &Store) -> Result<bool> {
        let text = config::hosts(&store.nodes().await?);
        if fs::read_to_string(&self.path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &self.path))
            .with_context(|| format!("writing {}", self.path.display()))?;
        Ok(true)
    }
}

/// Follows changes that commands make in the store.
async fn watch(store: &Store, hosts: &Hosts, networks: &[Network]) -> Result<()> {
    let mut watch = store.watch().await?;
    let mut told = false;
    loop {
        if watch.changed().await? {
            if hosts.update(store).await? {
                hosts.reload.notify_one();
            }
            if !told && store.networks().await? != networks {
                log::line(format_args!("the networks changed: restart `headnode serve` to serve them"));
                told = true;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// SIGINT or SIGTERM, by name: from the call on, either is kept for whoever waits, and ends no process by itself.
///
/// # Errors
/// When signals cannot be waited for.
pub fn asked_to_end() -> Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
