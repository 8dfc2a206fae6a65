//! What the fuzz targets call. headnode is a program and has no library: its modules that read such bytes are pure, and
//! taken in by their paths, so that a target is built without the rest of it.

#[path = "../../headnode/src/addresses.rs"]
pub mod addresses;
#[path = "../../headnode/src/dhcp/client.rs"]
pub mod client;
#[path = "../../headnode/src/addhost/file.rs"]
pub mod file;
#[path = "../../headnode/src/names.rs"]
pub mod names;
#[path = "../../headnode/src/dhcp/packet.rs"]
pub mod packet;
#[path = "../../headnode/src/ranges.rs"]
pub mod ranges;
#[path = "../../headnode/src/state.rs"]
pub mod state;

pub mod head;
pub mod wire;

/// As in headnode.
pub mod addhost {
    pub use crate::file;
}

/// As in headnode.
pub mod dhcp {
    pub use crate::packet;
}
