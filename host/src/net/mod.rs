//! The network of a node: links, addresses, DHCP, HTTP, the head node's protocol, reports.
//!
//! * [`links`]: what interfaces there are, up, carrier; [`netlink`]: the kernel calls below it.
//! * [`dhcp`]: one lease on one interface, behind a trait.
//! * [`setup`]: [`setup::Network`] applies `FirstNetwork` and `ConfigureNic`.
//! * [`resolver`]: the initrd's own /etc/resolv.conf.
//! * [`clock`]: the head node's signed time; [`http`]: one HTTP exchange, TLS judged by that time.
//! * [`head`]: time, session, NII as `docs/protocol.md` says, over [`crate::Machine::fetch`]; [`retry`]: its patience.
//! * [`errands`]: files, escrow and logs with a session.
//! * [`events`]: the spool of reports and its sender.
//!
//! Everything blocks; nothing waits without saying for what.

pub mod clock;
pub mod dhcp;
pub mod errands;
pub mod events;
pub mod head;
pub mod http;
pub mod links;
pub mod netlink;
pub mod resolver;
pub mod retry;
pub mod setup;
