//! The head node as its users see it: the real program with a real data folder, on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy takes only functions with #[test] for tests"
)]

mod addhost;
mod admin;
mod backup;
mod boot;
mod change;
mod commands;
mod distribution;
mod dnsmasq;
mod docs;
mod doctor;
mod escrow;
mod events;
mod files;
mod head;
mod help;
mod import_site;
mod kills;
mod lab;
mod limits;
mod logs;
mod machine;
mod network;
mod os;
mod package;
mod page;
mod plugins;
mod session;
mod socket;
mod states;
mod tpm;
mod trust;
mod unprivileged;
