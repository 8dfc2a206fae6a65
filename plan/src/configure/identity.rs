//! Who the node is: names, machine-id, time.

use std::net::IpAddr;

use nii::v1::{Family4, Family6, Locale};

use super::{Context, file, file_with_mode};
use crate::op::{Act, Content, Guard, Op};
use crate::os::is_redhat;

pub(super) fn ops(context: &Context<'_>) -> Vec<Op> {
    let hostname = &context.inputs.nii.network.hostname;
    let mut ops = vec![
        file("etc/hostname", format!("{hostname}\n"), "the node's name"),
        file("etc/hosts", hosts(context), "the node's name must resolve without a name server"),
    ];
    ops.extend(machine_id(context));
    ops.extend(time(&context.inputs.nii.locale, !is_redhat(&context.inputs.manifest.os)));
    ops
}

/// hosts(5): localhost, and the node by its static addresses. 127.0.1.1 is Debian's answer for a node that has none.
fn hosts(context: &Context<'_>) -> String {
    let network = &context.inputs.nii.network;
    let names = match &network.domain {
        Some(domain) => format!("{host}.{domain} {host}", host = network.hostname),
        None => network.hostname.clone(),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for interface in &network.interfaces {
        if let Some(Family4::Static(ip)) = &interface.ipv4 {
            addresses.push(ip.address.into());
        }
        if let Some(Family6::Static(ip)) = &interface.ipv6 {
            addresses.push(ip.address.into());
        }
    }
    if addresses.is_empty() {
        addresses.push([127, 0, 1, 1].into());
    }
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\n\
                    ff02::2 ip6-allrouters\n"
        .to_owned();
    for address in addresses {
        text.push_str(&format!("{address} {names}\n"));
    }
    text
}

/// An id of its own, known before the first boot: boot entries are named by it, and systemd does not take the first
/// boot for a factory reset (which would apply presets over what the image enabled). Derived from the arming, so it is
/// new with each install and the same in each attempt.
fn machine_id(context: &Context<'_>) -> Vec<Op> {
    let text = Content::Text(format!("{}\n", context.machine_id()));
    let link = Act::Symlink { path: "var/lib/dbus/machine-id".into(), target: "/etc/machine-id".into() };
    let seed = Act::Remove { path: "var/lib/systemd/random-seed".into() };
    vec![
        file_with_mode("etc/machine-id", text, 0o444, "nodes of one image must not share its machine-id"),
        Op::new(link, "D-Bus has the same machine-id").when(Guard::has("var/lib/dbus/machine-id")),
        Op::new(seed, "nodes of one image must not share its random seed"),
    ]
}

/// Time zone and the kind of the hardware clock; with `debian` the file that only Debian has.
pub(crate) fn time(locale: &Locale, debian: bool) -> Vec<Op> {
    let zone = &locale.timezone;
    let info = format!("usr/share/zoneinfo/{zone}");
    let mut ops = Vec::new();
    // UTC is what a system without zones has anyway.
    if zone != "UTC" {
        let missing = format!("the image has no time zone {zone}; install tzdata in it");
        ops.push(Op::new(Act::Require { any: vec![info.clone()], missing }, "the NII's time zone"));
    }
    let link = Act::Symlink { path: "etc/localtime".into(), target: format!("../{info}") };
    ops.push(Op::new(link, "the NII's time zone").when(Guard::has(info)));
    if debian {
        let name = file("etc/timezone", format!("{zone}\n"), "Debian keeps the zone's name here");
        ops.push(name.when(Guard::has("etc/debian_version")));
    }
    // hwclock(8): drift, time of last adjustment, status; then the calibration; then the clock's kind.
    let kind = if locale.hardware_clock_utc { "UTC" } else { "LOCAL" };
    ops.push(file(
        "etc/adjtime",
        format!("0.0 0 0.0\n0\n{kind}\n"),
        format!("the hardware clock runs in {kind}"),
    ));
    ops
}
