//! Where the secrets of an install are afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tests::disk::Mounted;
use tests::group::{ADDRESS, Group, MAC, NODE, PASSWORD};
use tests::head::{Head, prepared};
use tests::run::{cmd, output};
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Spec, Vm, empty_disk};

use crate::{INSTALL, PREFLIGHT};

/// A passphrase that is planted.
const PASSPHRASE: &str = "planted-passphrase-of-the-vault";
/// An install with a root's password hash and the passphrase of an encrypted device.
const STORAGE: &str = r#"
[luks_keys]
safe = "planted-passphrase-of-the-vault"
[[storage.disks]]
name = "system"
select = { pick = "first" }
partitions = [
    { label = "bios", type = "bios-boot", size_mib = 1 },
    { label = "vault", type = "luks", size_mib = 64 },
    { label = "root", type = "root" },
]
[[storage.luks]]
name = "safe"
device = "vault"
[[storage.filesystems]]
device = "root"
format = "ext4"
mount = "/"
[[storage.filesystems]]
device = "safe"
format = "ext4"
mount = "/vault"
"#;

/// Words of each program's argument list that the node's kernel tells.
const WORDS: usize = 24;

/// After a whole install no planted secret is on the wire, in a log, an event, an answer of the head node, an argument list
/// of this host or of the node, the initrd, or in files of the installed system other than those that are for it. The one-time
/// token was on the wire, in its own answer, and is nowhere else; the session is nowhere.
#[test]
fn trust_secrets_of_an_install() -> Result<()> {
    scenario::run("trust_secrets_of_an_install", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        let document = telling(&Group::disked(STORAGE).stacked().document(&head, &key)?);
        head.armed_node(NODE, MAC, ADDRESS, &document)?;
        head.serve()?;
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let wire = scenario.scratch().join("wire.pcap");
        let (disks, capture) = (vec![disk.clone()], Some(wire.clone()));
        let spec = Spec { disks, capture, ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.expect("] preflight", PREFLIGHT)?;
        let mut seen = arguments()?;
        vm.console.expect("unpack ", INSTALL)?;
        seen += &arguments()?;
        vm.console.expect("camphor: rebooting", INSTALL)?;
        let is_told = vm.console.text().contains(r#"cryptsetup" w1="luksFormat""#);
        ensure!(is_told, "the kernel did not tell what it starts");
        vm.cut_power()?;
        head.expect_state(NODE, "installed")?;
        let said = scenario.scratch().join("said");
        fs::write(&said, seen + &answers(&head)?).context("writing what was said")?;
        head.kill()?;
        let hash = document.lines().find_map(|line| line.strip_prefix("password_hash = "));
        let hash = hash.context("the document has no hash")?.trim_matches('"');
        let mut places = vec![wire.clone(), said, unpacked(scenario.scratch())?, scenario.logs.clone()];
        places.extend(given_away(&head)?);
        for secret in [hash, PASSWORD, PASSPHRASE] {
            let found = files_with(secret, &places)?;
            ensure!(found.is_empty(), "a planted secret is in {found:?}");
        }
        on_the_disk(&disk, hash)?;
        let credentials = Credentials::of(&head)?;
        let on_the_wire = credentials.among(&wire)?;
        ensure!(on_the_wire == 1, "{on_the_wire} of token and session were on the wire");
        for place in places[1..].iter().chain([&disk]) {
            ensure!(credentials.among(place)? == 0, "token or session is in {}", place.display());
        }
        Ok(())
    })
}

/// With a kernel that says on the console what each program is started with: `execve`'s second argument, of the registers that
/// it is called with (Documentation/trace/kprobetrace.rst).
fn telling(document: &str) -> String {
    let word = |n: usize| format!(",w{n}=+u0(+u{}(+104(%di))):ustring", 8 * n);
    let words: String = (0..WORDS).map(word).collect();
    let arguments =
        format!(r#"netboot_args = ["tp_printk", "kprobe_event=p:started,__x64_sys_execve{words}", "#);
    document.replace("netboot_args = [", &arguments)
}

/// What is in the initrd that the node had.
fn unpacked(scratch: &Path) -> Result<PathBuf> {
    let plain = scratch.join("initrd.cpio");
    output(cmd("zstd", ["-dqf", "-o"]).args([&plain, &prepared()?.stacked]))?;
    Ok(plain)
}

/// The argument lists of all processes of this host: head node and dnsmasq are among them.
fn arguments() -> Result<String> {
    let mut all = String::new();
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let path = entry.context("reading /proc")?.path().join("cmdline");
        // Processes end while one looks.
        all += &String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\0', " ");
        all.push('\n');
    }
    ensure!(all.contains("serve"), "the head node is not among the processes");
    Ok(all)
}

/// What commands tell an admin.
fn answers(head: &Head<'_>) -> Result<String> {
    let asked: [&[&str]; 8] = [
        &["events", NODE, "--limit", "10000", "--output", "json"],
        &["logs", NODE],
        &["nii", NODE],
        &["plan", NODE],
        &["plan", NODE, "--output", "json"],
        &["boot", "show", NODE],
        &["group", "show", "nodes"],
        &["status", NODE, "--output", "json"],
    ];
    let answers: Result<Vec<String>> = asked.iter().map(|words| head.cli(*words)).collect();
    Ok(answers?.concat())
}

/// All of the data folder but what is secret there: the store and the keys.
fn given_away(head: &Head<'_>) -> Result<Vec<PathBuf>> {
    let mut places = Vec::new();
    for entry in fs::read_dir(head.data()).context("reading the data folder")? {
        let entry = entry.context("reading the data folder")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "keys" && !name.starts_with("camphor.db") {
            places.push(entry.path());
        }
    }
    Ok(places)
}

/// The hash is in the shadow file, the passphrase in the key file that the system opens the device with; both for root only.
fn on_the_disk(disk: &Path, hash: &str) -> Result<()> {
    let root = Mounted::labelled(disk, "root")?;
    let top = root.path("/");
    let relative = |path: &PathBuf| Ok::<_, anyhow::Error>(path.strip_prefix(&top)?.display().to_string());
    for (secret, wanted) in
        [(hash, &["etc/shadow"][..]), (PASSPHRASE, &["etc/cryptsetup-keys.d/safe.key"]), (PASSWORD, &[])]
    {
        let found = files_with(secret, std::slice::from_ref(&top))?;
        let found = found.iter().map(relative).collect::<Result<Vec<_>>>()?;
        ensure!(found == wanted, "a planted secret is in {found:?}, and belongs into {wanted:?}");
        for path in wanted {
            let others = output(cmd("sh", ["-c", r#"find "$0" -perm /037"#]).arg(root.path(path)))?;
            ensure!(others.is_empty(), "others may use /{path}");
        }
    }
    Ok(())
}

/// Files below these places that have the text somewhere in their bytes.
fn files_with(text: &str, places: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let script = r#"grep -rlaF -e "$0" -- "$@" || [ $? = 1 ]"#;
    let found = output(cmd("sh", ["-c", script, text]).args(places))?;
    Ok(found.lines().map(PathBuf::from).collect())
}

/// The store has the hashes of tokens and sessions, and these tell whether a word is one.
struct Credentials(Vec<u8>);

impl Credentials {
    fn of(head: &Head<'_>) -> Result<Self> {
        let files = ["camphor.db", "camphor.db-wal"].map(|name| head.data().join(name));
        let read = |path: &PathBuf| fs::read(path).with_context(|| format!("reading {}", path.display()));
        let there = files.iter().filter(|path| path.exists());
        Ok(Self(there.map(read).collect::<Result<Vec<_>>>()?.concat()))
    }

    /// How many there are in the files of a place: tokens and sessions are 32 hexadecimal digits.
    fn among(&self, place: &Path) -> Result<usize> {
        let script = r#"LC_ALL=C grep -raohE '[0-9a-f]{32,}' -- "$0" || [ $? = 1 ]"#;
        let found = output(cmd("sh", ["-c", script]).arg(place))?;
        // What follows in a cpio archive begins with digits, too.
        let words = found.lines().flat_map(|run| [&run[..32], &run[run.len() - 32..]]);
        let hashes: BTreeSet<[u8; 32]> =
            words.map(|word| *blake3::hash(word.as_bytes()).as_bytes()).collect();
        let known = self.0.windows(32).filter(|bytes| hashes.contains(*bytes));
        Ok(known.collect::<BTreeSet<_>>().len())
    }
}
