//! The network against the kernel and dnsmasq, in namespaces of the test's own. Needs root.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use host::Watch;
use host::net::links::Link;
use host::net::setup::{Network, Wanted};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Keeps what is logged.
#[derive(Default)]
struct Log(Vec<String>);

impl Watch for Log {
    fn progress(&mut self, _: u64, _: u64) {}
    fn log(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

/// Ends a child with the test.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

fn run(line: &str) -> String {
    let output = command(line).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `body` on a thread with its own network, /sys and /etc/resolv.conf, which go when it ends.
fn isolated(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        // SAFETY: this thread has no file descriptor table of its own to lose (NEWNET and NEWNS leave it shared).
        unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.expect("this test needs root");
        run("mount --make-rprivate /");
        run("mount -t sysfs sysfs /sys");
        run("mount -t tmpfs tmpfs /run");
        fs::write("/run/resolv.conf", "").unwrap();
        run("mount --bind /run/resolv.conf /etc/resolv.conf");
        body();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Two cables, n0 and n1, into a namespace with a DHCP server on the second one's far end.
fn cables() -> [Reaped; 2] {
    cables_to("10.99.0.254")
}

/// The same, where the server names this router.
fn cables_to(router: &str) -> [Reaped; 2] {
    let far = Reaped(command("unshare --net cat").stdin(Stdio::piped()).spawn().unwrap());
    let pid = far.0.id();
    // The namespace is there once it is not ours any more.
    let ours = fs::read_link("/proc/thread-self/ns/net").unwrap();
    while fs::read_link(format!("/proc/{pid}/ns/net")).unwrap() == ours {
        std::thread::yield_now();
    }
    for (near, far, mac) in [("n0", "f0", "02:00:00:00:00:10"), ("n1", "f1", "02:00:00:00:00:11")] {
        run(&format!("ip link add {near} address {mac} type veth peer name {far} netns {pid}"));
        run(&format!("nsenter --net=/proc/{pid}/ns/net ip link set {far} up"));
    }
    run(&format!("nsenter --net=/proc/{pid}/ns/net ip address add 10.99.0.1/24 dev f1"));
    let server = command(&format!(
        "nsenter --net=/proc/{pid}/ns/net dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --user=root \
         --interface=f1 --dhcp-range=10.99.0.50,10.99.0.60,255.255.255.0,1h --dhcp-option=3,{router} \
         --dhcp-option=6,10.99.0.253 --leasefile-ro --no-ping --pid-file= --log-facility=/dev/null"
    ));
    let mut server = server;
    [Reaped(server.spawn().unwrap()), far]
}

#[test]
fn a_lease_comes_from_the_cable_that_has_a_server() {
    isolated(|| {
        let _cables = cables();
        let mut network = Network::default();
        let mut log = Log::default();
        // Firmware booted from the other one, which does not answer any more.
        network.first(Some("02:00:00:00:00:10"), &mut log).unwrap();
        assert!(log.0.iter().any(|line| line.starts_with("no DHCP answer on n0")), "{:?}", log.0);
        let lease = network.lease("n1").unwrap();
        assert!((50..=60).contains(&lease.address.octets()[3]), "{lease:?}");
        assert_eq!((lease.prefix, lease.gateway), (24, Some(Ipv4Addr::new(10, 99, 0, 254))));
        assert!(run("ip route").contains("default via 10.99.0.254 dev n1"));
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), "nameserver 10.99.0.253\n");
    });
}

#[test]
fn configuring_twice_is_configuring_once() {
    isolated(|| {
        let _cables = cables();
        let wanted = Wanted {
            name: "n0",
            mtu: Some(1400),
            addresses: &[("10.7.0.9".parse().unwrap(), 16), ("fd00::9".parse().unwrap(), 64)],
            routes: &[
                ("0.0.0.0".parse().unwrap(), 0, "10.7.0.1".parse().unwrap()),
                ("10.8.0.0".parse().unwrap(), 24, "10.7.0.2".parse().unwrap()),
                ("::".parse().unwrap(), 0, "fd00::1".parse().unwrap()),
            ],
            dhcp: false,
        };
        let mut log = Log::default();
        let mut network = Network::default();
        network.configure(&wanted, &mut log).unwrap();
        let state =
            || [run("ip -o address show dev n0"), run("ip route"), run("ip -6 route show default")].join("");
        let before = state();
        network.configure(&wanted, &mut log).unwrap();
        assert_eq!(state(), before);
        for part in [
            "10.7.0.9/16 brd 10.7.255.255",
            "fd00::9/64",
            "via 10.7.0.1 dev n0",
            "10.8.0.0/24 via 10.7.0.2",
            "default via fd00::1",
        ] {
            assert!(before.contains(part), "{part} is not in {before}");
        }
        assert_eq!(Link::find("n0").unwrap().mtu(), Some(1400));
    });
}

#[test]
fn a_router_elsewhere_is_no_failure() {
    isolated(|| {
        let _cables = cables_to("10.98.0.1");
        let (mut network, mut log) = (Network::default(), Log::default());
        network.first(Some("02:00:00:00:00:11"), &mut log).unwrap();
        assert!(log.0.iter().any(|line| line.starts_with("the router 10.98.0.1 is not in")), "{:?}", log.0);
        assert!(run("ip -o address show dev n1").contains("10.99.0."));
        assert!(!run("ip route").contains("default"));
    });
}

#[test]
fn a_cleared_link_is_as_it_was() {
    isolated(|| {
        let _cables = cables();
        let wanted = Wanted {
            name: "n0",
            mtu: None,
            addresses: &[
                ("10.7.0.9".parse().unwrap(), 16),
                ("10.9.0.9".parse().unwrap(), 16),
                ("fd00::9".parse().unwrap(), 64),
            ],
            routes: &[("0.0.0.0".parse().unwrap(), 0, "10.7.0.1".parse().unwrap())],
            dhcp: false,
        };
        Network::default().configure(&wanted, &mut Log::default()).unwrap();
        Link::find("n0").unwrap().clear().unwrap();
        assert_eq!(run("ip -o address show dev n0") + &run("ip route"), "");
        assert!(!run("ip link show dev n0").contains("UP"));
        // Once more is fine.
        Link::find("n0").unwrap().clear().unwrap();
    });
}

#[test]
fn a_missing_interface_is_named() {
    isolated(|| {
        let wanted = Wanted { name: "eth7", mtu: None, addresses: &[], routes: &[], dhcp: false };
        let error = Network::default().configure(&wanted, &mut Log::default()).unwrap_err();
        assert_eq!(error.to_string(), "there is no network interface eth7");
    });
}
