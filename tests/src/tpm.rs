//! A TPM 2.0 for a machine: swtpm, with its seeds in a folder, so that it is the same chip again at the next start.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::net::Net;
use crate::run::Process;

/// Starts the chip whose state is in `state`, made new if that is not there, and lets QEMU reach it at `socket`.
pub(crate) fn start(net: &Net, state: &Path, socket: &Path) -> Result<Process> {
    fs::create_dir_all(state).with_context(|| format!("making {}", state.display()))?;
    // Ours from the beginning: QEMU need not wait for it.
    let listener =
        UnixListener::bind(socket).with_context(|| format!("listening on {}", socket.display()))?;
    let mut command = net.command("swtpm");
    command.args(["socket", "--tpm2", "--ctrl", "type=unixio,fd=0", "--tpmstate"]);
    command.arg(format!("dir={}", state.display()));
    Process::start(command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// What QEMU is told of it.
pub(crate) fn arguments(socket: &Path) -> [String; 6] {
    [
        "-chardev".into(),
        format!("socket,id=tpm,path={}", socket.display()),
        "-tpmdev".into(),
        "emulator,id=chip,chardev=tpm".into(),
        "-device".into(),
        "tpm-tis,tpmdev=chip".into(),
    ]
}
