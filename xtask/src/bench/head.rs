//! The head node's commands with 5,000 nodes in its store. There is no peer: the limit is 50 ms each, process and all.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use harness::paths;
use harness::run::{cmd, output};

use super::{median, timed};

const NODES: usize = 5000;
const ROUNDS: usize = 21;
const GROUP: &str = r#"
netboot = "tiny"

[install]
type = "disked"

[image]
name = "tiny"

[[storage.disks]]
name = "system"
select = { pick = "first" }
partitions = [{ label = "root", type = "root" }]

[[storage.filesystems]]
device = "root"
format = "ext4"
mount = "/"
"#;

/// Median times of what admins and nodes ask most.
pub fn run() -> Result<Vec<String>> {
    println!("headnode: {NODES} nodes");
    let program = paths::program("headnode")?;
    let folder = tempfile::tempdir().context("making a folder")?;
    furnish(&program, folder.path())?;
    let one = format!("n{:04}", NODES / 2);
    let commands: [(&str, &[&str]); 5] = [
        ("node list", &["node", "list"]),
        ("status", &["status"]),
        ("nii of one node", &["nii", &one]),
        ("boot script of one node", &["boot", "show", &one]),
        ("node list of a range", &["node", "list", "@g,!n[0000-3999]"]),
    ];
    let mut rows = Vec::new();
    for (what, args) in commands {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let run = &mut || output(headnode(&program, folder.path()).args(args)).map(drop);
            times.push(timed(run)?.as_secs_f64() * 1e3);
        }
        rows.push(format!("{:<34}{:>12}", format!("headnode {what}"), format!("{:.1} ms", median(&times))));
    }
    Ok(rows)
}

fn headnode(program: &Path, folder: &Path) -> Command {
    let mut command = cmd(&program.to_string_lossy(), ["--data-dir"]);
    command.arg(folder.join("data"));
    command
}

fn furnish(program: &Path, folder: &Path) -> Result<()> {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display())).map(|()| path)
    };
    let run = |args: &[&str]| output(headnode(program, folder).args(args)).map(drop);
    run(&["init"])?;
    let network = ["--subnet", "10.0.0.0/8", "--address", "10.0.0.1", "--dhcp", "external"];
    run(&[&["network", "add", "lo", "--interface", "lo"][..], &network].concat())?;
    fs::create_dir_all(folder.join("root/etc")).context("making a root")?;
    file("root/etc/os-release", "ID=tiny\nPRETTY_NAME=tiny\n")?;
    run(&["image", "import", "tiny", &folder.join("root").to_string_lossy()])?;
    let kernel = file("kernel", "kernel")?.to_string_lossy().into_owned();
    run(&["netboot", "add", "tiny", "--kernel", &kernel, "--initrd", &kernel])?;
    run(&["group", "add", "g", "--file", &file("group.toml", GROUP)?.to_string_lossy()])?;
    let mut nodes = "camphor: 1\nnodes:\n".to_owned();
    for i in 0..NODES {
        let (high, low) = (i / 250, i % 250 + 1);
        writeln!(
            nodes,
            "- {{name: n{i:04}, group_name: g, network: lo, mac: '52:54:00:00:{high:02x}:{low:02x}', \
             address: 10.1.{high}.{low}, overrides: 'locale.timezone = \"Europe/Berlin\"'}}"
        )?;
    }
    run(&["import", &file("nodes.yaml", &nodes)?.to_string_lossy()])
}
