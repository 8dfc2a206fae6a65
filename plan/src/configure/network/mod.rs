//! Network files of the installed system, for the program that the image sets its network up with: NetworkManager if
//! it has it, else Red Hat's network-scripts, else systemd-networkd, else ifupdown.
//!
//! systemd-networkd goes before ifupdown, although Debian has both: it needs no DHCP client beside it, which ifupdown only
//! recommends and small images lack, and it matches by MAC address without giving the interfaces other names.
//!
//! What the image itself says about interfaces goes first: the address of the machine that it was made on must not come
//! up on a node. A NII without interfaces leaves all of it alone.
//!
//! Interfaces are matched by MAC address everywhere: the initrd's kernel names need not be those that udev gives later.

mod ifcfg;
mod ifupdown;
mod networkd;
mod networkmanager;

use super::{Context, file};
use crate::network::resolver;
use crate::op::{Act, Guard, Op};
use crate::os::{is_debian, is_redhat};

const NETWORKMANAGER: &str = "usr/sbin/NetworkManager";
/// `sbin` and `lib` are links to those of `usr` where these are merged: the path is right either way.
const IFUP: &str = "sbin/ifup";
const IFUP_DEBIAN: &str = "etc/network";
const IFUP_REDHAT: &str = "etc/sysconfig/network-scripts/ifup-eth";
const NETWORKD: &str = "lib/systemd/systemd-networkd";
/// What enabling systemd-resolved makes, in every version.
const RESOLVED_ENABLED: &str = "etc/systemd/system/dbus-org.freedesktop.resolve1.service";

pub(super) fn ops(context: &Context<'_>) -> Vec<Op> {
    let mut ops = resolv_conf(context);
    if context.nics.is_empty() {
        return ops;
    }
    ops.push(Op::new(
        Act::Require {
            any: [NETWORKMANAGER, IFUP, NETWORKD].map(Into::into).to_vec(),
            missing: "the image has nothing that sets up its network; install NetworkManager, ifupdown or systemd-networkd"
                .into(),
        },
        "the NII has interfaces",
    ));
    let os = &context.inputs.manifest.os;
    let old = Guard::has(IFUP).but_not(NETWORKMANAGER);
    let debian = old.clone().and(IFUP_DEBIAN);
    let writers = [
        (true, networkmanager::ops(context), Guard::has(NETWORKMANAGER)),
        (true, networkd::ops(context), Guard::has(NETWORKD).but_not(NETWORKMANAGER).but_not(IFUP_REDHAT)),
        // NetworkManager leaves alone what this file names, also where ifupdown itself is not installed.
        (!is_redhat(os), ifupdown::idle(), Guard::has(NETWORKMANAGER).and(IFUP_DEBIAN)),
        (!is_redhat(os), ifupdown::idle(), debian.clone().and(NETWORKD)),
        (!is_redhat(os), ifupdown::ops(context), debian.but_not(NETWORKD)),
        // NetworkManager reads these, too, with network-scripts and without.
        (!is_debian(os), ifcfg::clear(), Guard::default()),
        (!is_debian(os), vec![ifcfg::loopback()], Guard::has(IFUP_REDHAT)),
        (!is_debian(os), ifcfg::ops(context), old.and(IFUP_REDHAT)),
    ];
    for (_, theirs, guard) in writers.into_iter().filter(|(possible, ..)| *possible) {
        ops.extend(theirs.into_iter().map(|op| op.when(guard.clone())));
    }
    ops
}

/// Removes files of the image that would set up interfaces its way.
fn remove(path: &str) -> Op {
    Op::new(Act::Remove { path: path.into() }, "the image's interfaces are those of its birthplace")
}

/// resolv.conf(5). systemd-resolved and resolvconf(8) make it themselves, and their links stay; NetworkManager replaces
/// it with what its connections say, which is the same.
fn resolv_conf(context: &Context<'_>) -> Vec<Op> {
    let (servers, search) = resolver(context.inputs.facts, context.inputs.nii);
    let resolved = Guard::has(RESOLVED_ENABLED);
    let stub = Act::Symlink {
        path: "etc/resolv.conf".into(),
        target: "../run/systemd/resolve/stub-resolv.conf".into(),
    };
    let mut ops = vec![Op::new(stub, "systemd-resolved answers on this node").when(resolved)];
    if !servers.is_empty() {
        let mut text = String::new();
        if !search.is_empty() {
            text.push_str(&format!("search {}\n", search.join(" ")));
        }
        text.extend(servers.iter().map(|server| format!("nameserver {server}\n")));
        let guard = Guard::default().but_not(RESOLVED_ENABLED).but_not("sbin/resolvconf");
        ops.push(file("etc/resolv.conf", text, "the node's name servers").when(guard));
    }
    ops
}

/// The NII's name servers of one address family.
fn servers(context: &Context<'_>, v4: bool) -> Vec<String> {
    let dns = &context.inputs.nii.network.dns;
    dns.iter().filter(|server| server.is_ipv4() == v4).map(ToString::to_string).collect()
}

/// The search domains for connections: the NII's, or its domain.
fn search(context: &Context<'_>) -> Vec<String> {
    resolver(context.inputs.facts, context.inputs.nii).1
}
