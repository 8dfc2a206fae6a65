//! iPXE scripts (ipxe.org/scripting, ipxe.org/cmd). Pure: what a node is told, by its state and firmware.
//!
//! Written for the iPXE of 2019 that distributions ship: no HTTPS, and under UEFI the kernel finds its initrds by
//! the `initrd=` names on its command line only.

use clap::ValueEnum;
use serde::Deserialize;

use crate::addresses::Mac;
use crate::netboot::{INITRD, KERNEL, SEGMENT};
use crate::recipe::Recipe;
use crate::store::inventory::{Netboot, Network};

/// A node's firmware, as iPXE's `${platform}` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// BIOS.
    #[default]
    Pcbios,
    /// UEFI.
    Efi,
}

/// Path of the script; iPXE asks again by it, and by this path's own host.
pub const PATH: &str = "/boot/script";
/// What follows [`PATH`], in iPXE's words. No colons (hence `hexhyp`): in a relative URL the first one would end a scheme.
pub const QUERY: &str = "?mac=${netX/mac:hexhyp}&uuid=${uuid}&platform=${platform}";
/// The script's URL, as iPXE gets it on a network.
pub fn url(network: &Network, http_port: u16) -> String {
    format!("http://{}:{http_port}{PATH}{QUERY}", network.address)
}

/// The helper that starts a UEFI node's local disk.
pub const LOCAL_BOOT: &str = "localboot.efi";

const POLL_S: u32 = 10;
const RETRY_S: u32 = 3;

/// An install (or a diskless boot): kernel, initrd, our segment if the initrd is a distribution's, and the token. A UKI comes
/// alone: what is beside it nobody has signed, and its stub does not take it.
///
/// `token` is the URL's last part: an attempt's id, or what `boot show` has in its place.
pub fn install(recipe: &Recipe, netboot: &Netboot, token: &str, platform: Platform, banner: &str) -> String {
    let mut kernel = vec![format!("{}/boot/file/{}/{KERNEL}", recipe.http(), netboot.kernel)];
    let mut initrds = Vec::new();
    if !recipe.document.uki {
        initrds = initrds_of(recipe, netboot, token);
        kernel.extend(recipe.kernel_arguments());
        if platform == Platform::Efi {
            kernel.extend(initrds.iter().map(|(name, _)| format!("initrd={name}")));
        }
    }
    let initrds = initrds.iter().map(|(name, url)| format!("initrd --name {name} {url} || goto again\n"));
    format!(
        "#!ipxe\n\
         echo camphor: {banner}\n\
         kernel --name {KERNEL} {kernel} || goto again\n\
         {initrds}\
         boot || goto again\n\
         :again\n\
         imgfree\n\
         echo camphor: that did not work; asking again in {RETRY_S} s\n\
         {}",
        ask_again(RETRY_S),
        kernel = kernel.join(" "),
        initrds = initrds.collect::<String>(),
    )
}

/// Names and URLs.
fn initrds_of(recipe: &Recipe, netboot: &Netboot, token: &str) -> Vec<(&'static str, String)> {
    let http = recipe.http();
    let Netboot { initrd, segment, .. } = netboot;
    let mut initrds = vec![(INITRD, format!("{http}/boot/file/{initrd}/{INITRD}"))];
    initrds.extend(segment.map(|segment| (SEGMENT, format!("{http}/boot/file/{segment}/{SEGMENT}"))));
    initrds.push(("token", format!("{http}/boot/token/{token}")));
    initrds
}

/// The rescue system: nothing is installed, so no token goes with it.
pub fn rescue(recipe: &Recipe, netboot: &Netboot, arguments: &[String], platform: Platform) -> String {
    let (http, node) = (recipe.http(), &recipe.node.name);
    let Netboot { kernel, initrd, .. } = netboot;
    let mut arguments = arguments.to_vec();
    if platform == Platform::Efi {
        arguments.push(format!("initrd={INITRD}"));
    }
    format!(
        "#!ipxe\n\
         echo camphor: {node} boots its rescue system\n\
         kernel --name {KERNEL} {http}/boot/file/{kernel}/{KERNEL} {arguments} || goto again\n\
         initrd --name {INITRD} {http}/boot/file/{initrd}/{INITRD} || goto again\n\
         boot || goto again\n\
         :again\n\
         imgfree\n\
         {}",
        ask_again(RETRY_S),
        arguments = arguments.join(" "),
    )
}

/// What an attempt's banner says. One past the cap is for an install that may be done already (`Store::mint`).
pub fn banner(node: &str, number: u32, cap: u32) -> String {
    if number > cap {
        return format!(
            "{node} used up its {cap} attempts, but came to its commit: one more to see whether it is installed"
        );
    }
    format!("installing {node}, attempt {number} of {cap}")
}

/// The local disk. `who` does it, and why. `helper`: whether the head node has [`LOCAL_BOOT`].
pub fn local(who: &str, platform: Platform, helper: bool) -> String {
    let boot = match platform {
        Platform::Pcbios => "sanboot --no-describe --drive 0x80 || exit\n".to_owned(),
        Platform::Efi if helper => format!("chain /boot/loader/{LOCAL_BOOT} || exit\nexit\n"),
        Platform::Efi => "exit\n".to_owned(),
    };
    format!("#!ipxe\necho camphor: {who} boots its local disk\n{boot}")
}

/// What an admin wrote, without what iPXE would take for more than words.
pub fn words(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || " .,:_/@()-".contains(c) { c } else { '?' };
    text.chars().map(plain).collect()
}

/// Nothing to boot: say why, and ask again.
pub fn wait(mac: &Mac, why: &str) -> String {
    let ask_again = ask_again(POLL_S);
    format!("#!ipxe\n:again\necho camphor: {mac}: {why}; asking again in {POLL_S} s\n{ask_again}")
}

/// For who did not say who it is: a DHCP server that does not pass iPXE's `${…}` on gives the bare path.
pub fn who_are_you() -> String {
    format!("#!ipxe\n:again\n{}", ask_again(1))
}

/// Goes on at the label `again` if the head node is away.
fn ask_again(seconds: u32) -> String {
    format!("sleep {seconds}\nchain --replace --autofree {PATH}{QUERY} || goto again\n")
}
