//! The socket of `serve`: users of this machine, by what the kernel says of them (needs root, to be others).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};

use crate::admin::{piped, refused, said};
use crate::head::{DEADLINE, Head, ended};

/// Users and groups that the system need not know.
const OPERATOR: u32 = 64_331;
const STRANGER: u32 = 64_332;
const OPERATORS: u32 = 64_333;
/// The user of the data folder.
const OWNER: u32 = 64_334;

/// A head node in a place that all users reach, and a program that they can run.
fn head() -> Head {
    let head = Head::new();
    fs::copy(env!("CARGO_BIN_EXE_headnode"), head.path("headnode")).unwrap();
    fs::set_permissions(head.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    head
}

/// The program as another user, with these further groups.
fn program(head: &Head, user: u32, groups: &str) -> Command {
    let mut command = Command::new("setpriv");
    let user = user.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--no-new-privs"]);
    command.args(if groups.is_empty() { vec!["--clear-groups"] } else { vec!["--groups", groups] });
    command.args(["--inh-caps", "-all", "--bounding-set", "-all"]).arg(head.path("headnode"));
    command
}

/// A command at the socket.
fn at(head: &Head, socket: &Path, (user, groups): (u32, &str), args: &[&str]) -> Output {
    let mut command = program(head, user, groups);
    command.arg("remote").arg("--socket").arg(socket).args(args);
    piped(command, "")
}

fn serve(head: &mut Head, options: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headnode"));
    command.arg("serve").arg("--data-dir").arg(head.data()).args(options);
    head.serve_by(command);
}

#[test]
fn trust_a_group_operates_through_the_socket() {
    let mut head = head();
    let socket = head.path("admin.sock");
    let (path, group) = (socket.to_str().unwrap().to_owned(), OPERATORS.to_string());
    serve(&mut head, &["--socket", &path, "--operators", &group]);
    let about = fs::symlink_metadata(&socket).unwrap();
    assert_eq!((about.mode() & 0o777, about.gid()), (0o660, OPERATORS));
    let operator = (OPERATOR, group.as_str());
    let output = at(&head, &socket, operator, &["boot", "install", "n1"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(head.state("n1"), "armed");
    let events = head.ok(&["events", "n1"]);
    assert!(events.contains(&format!("by uid {OPERATOR}")), "{events}");
    refused(
        &at(&head, &socket, operator, &["group", "show", "disked", "--secrets"]),
        "needs the scope admin",
    );
    // Without the group the kernel lets nobody in; nor is the folder of any use.
    let output = at(&head, &socket, (STRANGER, ""), &["status"]);
    assert!(!output.status.success() && said(&output).contains("Permission denied"), "{}", said(&output));
    assert!(
        !program(&head, OPERATOR, &group)
            .arg("--data-dir")
            .arg(head.data())
            .arg("status")
            .output()
            .unwrap()
            .status
            .success()
    );
    // A socket that was left open to all by hand: who is neither root nor the owner, nor let in by a group, is a stranger.
    head.stop();
    serve(&mut head, &["--socket", &path]);
    assert_eq!(
        fs::symlink_metadata(&socket).unwrap().mode() & 0o777,
        0o600,
        "made anew in the place of the old one"
    );
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    refused(&at(&head, &socket, operator, &["status"]), "may not command here");
    assert!(head.security().contains(&"refused-user".to_owned()));
    let root = at(&head, &socket, (0, ""), &["group", "show", "disked", "--secrets"]);
    assert!(root.status.success(), "{}", said(&root));
}

#[test]
fn trust_the_owner_commands_through_the_socket() {
    let mut head = head();
    let owner = format!("{OWNER}:{OWNER}");
    assert!(Command::new("chown").args(["-R", &owner]).arg(head.data()).status().unwrap().success());
    let mut command = program(&head, OWNER, "");
    command.arg("serve").arg("--data-dir").arg(head.data());
    head.serve_by(command);
    let memory = fs::metadata(format!("/proc/{}/mem", head.pid())).unwrap();
    assert_eq!(memory.uid(), 0, "its memory is nobody's: no core, no tracing (proc(5))");
    let socket = head.data().join("run/admin.sock");
    let about = fs::symlink_metadata(&socket).unwrap();
    assert_eq!((about.mode() & 0o777, about.uid()), (0o600, OWNER));
    let output = at(&head, &socket, (OWNER, ""), &["node", "set", "n1", "attempts=9"]);
    assert!(output.status.success(), "{}", said(&output));
    let output = at(&head, &socket, (OWNER, ""), &["trust", "--write", "/tmp/x"]);
    refused(&output, "is for who is at the head node");
    let output = at(&head, &socket, (STRANGER, ""), &["status"]);
    assert!(!output.status.success() && said(&output).contains("Permission denied"), "{}", said(&output));
    assert_eq!(head.status("n1")["attempts"], 9);
}

#[test]
fn trust_silent_users_do_not_fill_the_socket() {
    let mut head = head();
    serve(&mut head, &[]);
    let socket = head.data().join("run/admin.sock");
    let closed = |mut stream: &UnixStream| {
        stream.set_read_timeout(Some(2 * DEADLINE)).unwrap();
        ended(&mut stream).unwrap()
    };
    let connect = || UnixStream::connect(&socket).unwrap();
    let silent: Vec<UnixStream> = (0..64).map(|_| connect()).collect();
    assert_eq!(closed(&connect()), 0, "one too many");
    assert!(silent.iter().all(|stream| closed(stream) == 0), "who says nothing is not waited for");
    let output = at(&head, &socket, (0, ""), &["status"]);
    assert!(output.status.success(), "{}", said(&output));
}

/// A `serve` that is to refuse: one that serves is ended after a while.
fn briefly(head: &Head, options: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["20", env!("CARGO_BIN_EXE_headnode"), "serve", "--data-dir"]).arg(head.data());
    command.args(options).output().unwrap()
}

#[test]
fn trust_no_file_is_taken_for_a_socket() {
    let head = head();
    let file = head.file("precious", "kept");
    let output = briefly(&head, &["--socket", &file]);
    assert!(!output.status.success() && said(&output).contains("no socket"), "{}", said(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    let socket = head.path("admin.sock");
    let options = ["--socket", socket.to_str().unwrap(), "--operators", "nobodys-group"];
    let output = briefly(&head, &options);
    assert!(!output.status.success() && said(&output).contains("nobodys-group"), "{}", said(&output));
}
