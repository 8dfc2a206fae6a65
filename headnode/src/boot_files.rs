//! What firmware gets by TFTP: the distribution's iPXE, and the helper that starts local disks.

use std::path::{Path, PathBuf};

use crate::dhcp::config::BIOS_LOADER;
use crate::http::UEFI_LOADER;

/// Where distributions have iPXE: Debian, Red Hat.
const IPXE_DIRS: [&str; 2] = ["/usr/lib/ipxe", "/usr/share/ipxe"];
/// iPXE's names by distribution, the first that is there.
const IPXE_UEFI: [&str; 3] = ["snponly.efi", "ipxe-snponly-x86_64.efi", "ipxe.efi"];

/// A boot file, and where it comes from.
#[derive(Clone, Debug)]
pub struct Loader {
    /// Its name in the TFTP root.
    pub name: &'static str,
    /// The distribution's file, if there is one.
    pub source: Option<PathBuf>,
}

/// iPXE for BIOS and UEFI, from `dir` or where distributions have it.
pub fn loaders(dir: Option<&Path>) -> [Loader; 2] {
    let dirs = folders(dir);
    let find = |name, files: &[&str]| {
        let mut candidates = dirs.iter().flat_map(|dir| files.iter().map(move |file| dir.join(file)));
        Loader { name, source: candidates.find(|path| path.is_file()) }
    };
    [find(BIOS_LOADER, &[BIOS_LOADER]), find(UEFI_LOADER, &IPXE_UEFI)]
}

/// Where [`loaders`] looks, for messages.
pub fn looked_in(dir: Option<&Path>) -> String {
    folders(dir).iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(" or ")
}

fn folders(dir: Option<&Path>) -> Vec<&Path> {
    dir.map_or_else(|| IPXE_DIRS.iter().map(Path::new).collect(), |dir| vec![dir])
}
