//! Sessions for one TPM only: the head node wraps, a TPM (swtpm) unwraps by the code that nodes have.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use host::linux::tpm::Chip;
use nii::session::{ErrorCode, SessionAnswer, SessionKey};
use tempfile::TempDir;

use crate::head::{HASH, Head, Machine};

/// A TPM without a machine.
struct Board {
    folder: TempDir,
    process: Child,
}

impl Board {
    /// A new one: its seeds are its own.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = start(folder.path());
        Self { folder, process }
    }

    /// Switched off and on.
    fn reset(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = start(self.folder.path());
    }

    fn link(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("socket")).unwrap()
    }

    /// Gives it a command, which it obeys.
    fn tell(&self, command: &str) {
        let command = command.replace(' ', "");
        let byte = |at: usize| u8::from_str_radix(&command[at..at + 2], 16).unwrap();
        let mut link = self.link();
        link.write_all(&(0..command.len()).step_by(2).map(byte).collect::<Vec<u8>>()).unwrap();
        let mut answer = [0; 10];
        link.read_exact(&mut answer).unwrap();
        assert_eq!(answer[6..], [0; 4]);
    }

    fn chip(&self) -> Chip {
        Chip::over(self.link()).unwrap()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(folder: &Path) -> Child {
    let socket = folder.join("socket");
    let _ = std::fs::remove_file(&socket);
    // Ours from the beginning: nobody need wait for it.
    let listener = UnixListener::bind(&socket).unwrap();
    Command::new("swtpm")
        .args(["socket", "--tpm2", "--server", "type=unixio,fd=0", "--flags", "startup-clear,not-need-init"])
        .arg("--tpmstate")
        .arg(format!("dir={}", folder.display()))
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// n1 armed, in a group that wants its TPM.
fn armed(wanted: &str) -> Head {
    let mut head = Head::new();
    head.ok(&["group", "set", "disked", &format!("tpm={wanted}")]);
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    head
}

/// A boot of n1 with this chip: what the head node answers when it is asked for a session.
fn ask(head: &Head, chip: Option<&Chip>) -> (Machine, Result<SessionAnswer, ErrorCode>) {
    let mut machine = Machine::new(head);
    machine.tpm = chip.map(|chip| chip.shown().clone());
    let token = machine.fetch_token(head);
    let answer = machine.ask(&machine.request(&token));
    (machine, answer)
}

fn unwrapped(chip: &mut Chip, mut answer: SessionAnswer) -> Result<SessionAnswer, String> {
    let SessionKey::Wrapped(credential) = &answer.session else { panic!("it is not wrapped") };
    let key = chip.unwrap(credential).map_err(|error| format!("{error:#}"))?;
    answer.session = SessionKey::Plain(key);
    Ok(answer)
}

/// Such a boot by the chip's own machine, until it has its NII.
fn install(head: &Head, chip: &mut Chip) {
    let (mut machine, answer) = ask(head, Some(chip));
    machine.session = Some(unwrapped(chip, answer.unwrap()).unwrap());
    machine.nii("nonce").unwrap();
}

/// The name that the head node has for n1's TPM.
fn accepted(head: &Head) -> String {
    head.json(&["tpm", "list"])[0]["tpm"].as_str().unwrap().to_owned()
}

#[test]
fn trust_secrets_are_for_the_tpm_of_the_first_use() {
    let head = armed("first-use");
    let (board, other) = (Board::new(), Board::new());
    assert!(Machine::new(&head).script(&head).contains(" camphor.tpm "), "the script says that it is wanted");

    let mut chip = board.chip();
    let (mut machine, answer) = ask(&head, Some(&chip));
    let answer = answer.unwrap();
    let wrong = unwrapped(&mut other.chip(), answer.clone()).unwrap_err();
    assert!(wrong.contains("wrapped for another TPM"), "{wrong}");
    assert_eq!(
        head.json(&["tpm", "list"]).as_array().unwrap().len(),
        0,
        "who has the token may have named any chip"
    );
    let first = unwrapped(&mut chip, answer).unwrap();
    machine.session = Some(first.clone());
    let nii = machine.opened_nii(&head);
    assert_eq!(nii.secrets.unwrap().root_password_hash.unwrap().expose(), HASH);
    assert_eq!(head.security(), ["tpm-accepted"]);
    drop(chip);

    // The next attempt: another chip, or none, uses nothing up.
    let refused = |chip: Option<&Chip>| assert_eq!(ask(&head, chip).1.unwrap_err(), ErrorCode::Unauthorized);
    refused(Some(&other.chip()));
    refused(None);
    let events = head.ok(&["events"]);
    assert!(
        events.contains(&format!("n1 has the TPM {}, and this machine 000b", accepted(&head))),
        "{events}"
    );
    assert_eq!(head.security()[1..], ["foreign-tpm", "refused-tpm"]);
    let mut chip = board.chip();
    let (_, answer) = ask(&head, Some(&chip));
    unwrapped(&mut chip, answer.unwrap()).unwrap();
    assert_eq!(head.status("n1")["tries"], 2);
}

#[test]
fn trust_in_a_tpm_survives_a_lost_answer_and_ends_with_the_boot() {
    let head = armed("first-use");
    let mut board = Board::new();
    let mut chip = board.chip();
    let mut machine = Machine::new(&head);
    machine.tpm = Some(chip.shown().clone());
    let request = machine.request(&machine.fetch_token(&head));
    let [one, two] = [(); 2].map(|()| machine.ask(&request).unwrap());
    assert_ne!(one.session, two.session, "wrapped anew");
    let before = two.clone();
    assert_eq!(unwrapped(&mut chip, one).unwrap(), unwrapped(&mut chip, two).unwrap());
    drop(chip);
    board.reset();
    let late = unwrapped(&mut board.chip(), before).unwrap_err();
    assert!(late.contains("another boot"), "{late}");
}

/// With the token, the key and an address of the node: unwrapped by one's own chip, and then asked for again for the node's.
#[test]
fn trust_a_session_is_for_one_chip() {
    let head = armed("first-use");
    let (thief, board) = (Board::new(), Board::new());
    let mut chip = thief.chip();
    let mut machine = Machine::new(&head);
    machine.tpm = Some(chip.shown().clone());
    let token = machine.fetch_token(&head);
    let answer = machine.ask(&machine.request(&token)).unwrap();
    machine.tpm = Some(board.chip().shown().clone());
    assert_eq!(machine.ask(&machine.request(&token)).unwrap_err(), ErrorCode::Unauthorized);
    machine.session = Some(unwrapped(&mut chip, answer).unwrap());
    machine.nii("nonce").unwrap();
    let events = head.ok(&["events"]);
    let (_, named) = events.split_once("is for another TPM than 000b").expect(&events);
    assert!(!accepted(&head).contains(&named[..64]), "whose chip has the secrets is what is known");
}

#[test]
fn trust_a_listed_tpm_is_accepted_first() {
    let head = armed("listed");
    let board = Board::new();
    let mut chip = board.chip();
    assert_eq!(ask(&head, Some(&chip)).1.unwrap_err(), ErrorCode::Unauthorized);
    let events = head.ok(&["events"]);
    let (_, advice) = events.split_once("`headnode tpm accept n1 ").expect(&events);
    let name = advice.split('`').next().unwrap().to_owned();
    head.ok(&["tpm", "accept", "n1", &name]);
    let answer = ask(&head, Some(&chip)).1.unwrap();
    unwrapped(&mut chip, answer).unwrap();

    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", "52:54:00:00:00:02"]);
    assert!(head.refused(&["tpm", "accept", "n2", &name]).contains("another node's"));
    let other = name.replace(|digit: char| digit.is_ascii_alphabetic(), "0").replacen("0000", "000b", 1);
    assert!(head.refused(&["tpm", "accept", "n1", &other]).contains("`headnode tpm forget n1` comes first"));
    let no_name = head.run(&["tpm", "accept", "n1", "000c"]);
    assert!(String::from_utf8(no_name.stderr).unwrap().contains("68 lower-case"));
    head.ok(&["tpm", "forget", "n1"]);
    assert!(head.refused(&["tpm", "forget", "n1"]).contains("n1 has no TPM"));
}

#[test]
fn trust_another_machine_in_a_nodes_place_brings_its_own_tpm() {
    let head = armed("first-use");
    let (board, other) = (Board::new(), Board::new());
    install(&head, &mut board.chip());
    let before = accepted(&head);
    head.ok(&["--yes", "node", "set", "n1", "--mac", "52:54:00:00:00:09"]);
    assert_eq!(head.json(&["tpm", "list"]).as_array().unwrap().len(), 0);
    head.leases(&[("127.0.0.1", "52:54:00:00:00:09")]);
    head.ok(&["boot", "install", "n1"]);
    let boot = |chip: &mut Chip, mac: &str| {
        let mut machine = Machine::new(&head);
        machine.mac = mac.into();
        machine.tpm = Some(chip.shown().clone());
        let token = machine.fetch_token(&head);
        let answer = machine.ask(&machine.request(&token))?;
        machine.session = Some(unwrapped(chip, answer).unwrap());
        machine.nii("nonce").map(drop)
    };
    boot(&mut other.chip(), "52:54:00:00:00:09").unwrap();
    assert_ne!(accepted(&head), before);

    // And one chip is not two nodes.
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", "52:54:00:00:00:02"]);
    head.leases(&[("127.0.0.1", "52:54:00:00:00:02")]);
    head.ok(&["boot", "install", "n2"]);
    assert_eq!(boot(&mut other.chip(), "52:54:00:00:00:02").unwrap_err(), ErrorCode::Unauthorized);
    assert!(head.ok(&["events", "n2"]).contains("has the TPM of n1"));
}

/// Keys of other templates might leave their chips.
#[test]
fn trust_only_endorsement_keys_are_wrapped_for() {
    let head = armed("first-use");
    let shown = Board::new().chip().shown().clone();
    let mut changes = Vec::new();
    for at in [0, 7, 10, 53, 55] {
        let mut tpm = shown.clone();
        tpm.endorsement_key.0[at] ^= 1;
        changes.push(tpm);
    }
    let mut long = shown.clone();
    long.endorsement_key.0.push(0);
    let mut short = shown.clone();
    short.endorsement_key.0.truncate(100);
    let mut name = shown;
    name.boot_key.0[0] = 1;
    changes.extend([long, short, name]);
    for tpm in changes {
        let mut machine = Machine::new(&head);
        machine.tpm = Some(tpm);
        let token = machine.fetch_token(&head);
        assert_eq!(machine.ask(&machine.request(&token)).unwrap_err(), ErrorCode::Unauthorized);
    }
    assert_eq!(head.json(&["tpm", "list"]).as_array().unwrap().len(), 0);
}

/// TPM2_DictionaryAttackParameters: no wrong password is allowed, which locks the chip at once.
const LOCK: &str = "80020000 00270000 013a4000 000a0000 00094000 00090000 00000000 00000000 000e1000 000e10";
/// By the platform's hierarchy, as firmware does when somebody says so in its menu.
const CLEAR: &str = "80020000 001b0000 01264000 000c0000 00094000 00090000 000000";
/// TPM2_ChangeEPS
const NEW_SEED: &str = "80020000 001b0000 01244000 000c0000 00094000 00090000 000000";

/// Neither wrong passwords nor keys that were left in the chip are in the way.
#[test]
fn trust_a_locked_tpm_unwraps_and_is_left_empty() {
    let head = armed("first-use");
    let board = Board::new();
    board.tell(LOCK);
    // A chip has room for three keys.
    for _ in 0..3 {
        let mut chip = board.chip();
        let (_, answer) = ask(&head, Some(&chip));
        unwrapped(&mut chip, answer.unwrap()).unwrap();
        head.ok(&["boot", "install", "n1"]);
    }
}

#[test]
fn trust_in_a_tpm_outlives_its_owner_and_not_its_seed() {
    let board = Board::new();
    let name = || board.chip().shown().endorsement_key.clone();
    let before = name();
    board.tell(CLEAR);
    assert_eq!(name(), before);
    board.tell(NEW_SEED);
    assert_ne!(name(), before);
}
