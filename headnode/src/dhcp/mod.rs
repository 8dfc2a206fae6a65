//! DHCP and TFTP, by a dnsmasq that `serve` drives.
//!
//! * [`config`]: its configuration and host file, as text.
//! * [`child`]: the process.
//! * [`client`]: a machine's side, for tests of ours.
//! * [`foreign`]: what servers that are not ours must say.
//! * [`leases`]: who is behind an address.
//! * [`packet`]: what machines ask for.

pub mod child;
pub mod client;
pub mod config;
pub mod foreign;
pub mod leases;
pub mod packet;
