//! What the fuzz targets call. headnode is a program and has no library: its modules that read such bytes are pure, and
//! taken in by their paths, so that a target is built without the rest of it.

#[path = "../../headnode/src/addresses.rs"]
pub mod addresses;
#[path = "../../headnode/src/dhcp/client.rs"]
pub mod client;
#[path = "../../headnode/src/document/mod.rs"]
pub mod document;
#[path = "../../headnode/src/addhost/file.rs"]
pub mod file;
#[path = "../../headnode/src/site_import/formats/mod.rs"]
pub mod formats;
#[path = "../../headnode/src/addhost/names.rs"]
pub mod name_formats;
#[path = "../../headnode/src/names.rs"]
pub mod names;
#[path = "../../headnode/src/os/content.rs"]
pub mod os_content;
#[path = "../../headnode/src/dhcp/packet.rs"]
pub mod packet;
#[path = "../../headnode/src/ranges.rs"]
pub mod ranges;
#[path = "../../headnode/src/os/repomd.rs"]
pub mod repomd;
#[path = "../../headnode/src/state.rs"]
pub mod state;
#[path = "../../headnode/src/store_file.rs"]
pub mod store_file;
#[path = "../../headnode/src/os/treeinfo.rs"]
pub mod treeinfo;

pub mod archive;
pub mod head;
pub mod node;
pub mod wire;

/// As in headnode.
pub mod addhost {
    pub use crate::{file, name_formats as names};
}

/// As in headnode.
pub mod dhcp {
    pub use crate::packet;
}

/// As in headnode.
pub mod os {
    pub use crate::os_content::{Os, Repository};
    pub use crate::{repomd, treeinfo};
}

/// As in headnode.
pub mod site_import {
    pub use crate::formats;
}
