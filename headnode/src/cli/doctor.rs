//! Whether the head node can do its work.

use std::path::PathBuf;

use clap::Args;

/// What `serve` takes from the distribution.
#[derive(Clone, Debug, Args)]
pub struct Programs {
    /// Where the distribution has iPXE's boot files
    #[arg(long)]
    pub ipxe_dir: Option<PathBuf>,
    /// The dnsmasq to run
    #[arg(long, default_value = "dnsmasq")]
    pub dnsmasq: PathBuf,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// What `serve` is run with
    #[command(flatten)]
    pub programs: Programs,
    /// Also ask each network for DHCP servers other than ours: sends a DHCPDISCOVER, and takes no address
    #[arg(long)]
    pub probe: bool,
}
