//! DHCP and TFTP, by a dnsmasq that `serve` drives.
//!
//! * [`config`]: its configuration and host file, as text.
//! * [`child`]: the process.
//! * [`leases`]: who is behind an address.
//! * [`packet`]: what machines ask for.

pub mod child;
pub mod config;
pub mod leases;
pub mod packet;
