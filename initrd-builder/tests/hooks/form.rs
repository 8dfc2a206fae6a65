//! What every shell file there must be: short, clean, and unable to end the shell that sources it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dracut-module")
}

fn files() -> Vec<PathBuf> {
    let module = folder().join("90camphor");
    let mut files: Vec<PathBuf> = fs::read_dir(module).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 9);
    files
}

fn clean(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
}

fn is_hook(path: &Path) -> bool {
    path.file_name().unwrap() != "module-setup.sh"
}

#[test]
fn short() {
    for path in files() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() < 50, "{}", path.display());
        assert!(text.lines().all(|line| line.len() <= 120), "{}", path.display());
    }
}

#[test]
fn shellcheck_and_the_shells_parsers_find_nothing() {
    for path in files() {
        // dracut runs module-setup.sh itself, with bash; hooks run with whatever sh an initrd has.
        let (dialect, parser) = if is_hook(&path) { ("sh", "dash") } else { ("bash", "bash") };
        clean(Command::new("shellcheck").args(["-s", dialect]).arg(&path).current_dir(folder()));
        clean(Command::new(parser).arg("-n").arg(&path));
    }
}

#[test]
fn nothing_ends_the_shell_or_the_machine() {
    for path in files().iter().filter(|path| is_hook(path)) {
        let text = fs::read_to_string(path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let words: Vec<&str> = line.split([' ', ';', '(', ')', '{', '}']).collect();
            for word in ["exit", "die", "-e,", "halt", "poweroff", "reboot"] {
                assert!(!words.contains(&word), "{}: {line}", path.display());
            }
            assert!(!line.contains("set -e") && !line.contains("set -u"), "{}: {line}", path.display());
            // A redirection that fails ends a POSIX shell if it belongs to a special builtin.
            assert!(!line.trim_start().starts_with(": >"), "{}: {line}", path.display());
        }
    }
}

/// The hooks that module-setup.sh installs, from a folder with these programs: dracut's own functions are stand-ins.
fn installed_by_module(programs: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for program in programs {
        fs::write(dir.path().join(program), "").unwrap();
        fs::set_permissions(dir.path().join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = "inst_hook() { echo \"$1/$2-${3##*/}\"; [[ -e $3 ]]; }\n\
                  inst_simple() { :; }; inst_multiple() { :; }; dracut_need_initqueue() { :; }\n\
                  moddir=$1; . \"$moddir/module-setup.sh\"; camphor=$2; install";
    let module = folder().join("90camphor");
    let output = Command::new("bash").args(["-ec", script, "bash"]).arg(module).arg(dir.path()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut hooks: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    hooks.sort();
    hooks
}

#[test]
fn the_module_installs_what_the_segment_has() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("installer"), "#!/bin/sh\n").unwrap();
    fs::write(dir.path().join("trust.json"), "{}").unwrap();
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_initrd-builder"));
        command.current_dir(dir.path());
        command
    };
    let words = ["append", "--installer", "installer", "--trust", "trust.json", "--out", "segment.img"];
    clean(program().args(words));
    let list = program().args(["list", "segment.img"]).output().unwrap().stdout;
    let list = String::from_utf8(list).unwrap();
    let hook = |line: &str| Some(line.split_once(" usr/lib/dracut/hooks/")?.1.to_owned());
    let mut segment: Vec<String> =
        list.lines().filter_map(hook).filter(|path| path.ends_with(".sh")).collect();
    segment.sort();
    assert_eq!(segment.len(), 7, "{list}");
    assert_eq!(installed_by_module(&["installer"]), segment);
    assert_eq!(installed_by_module(&["imageinit"]), ["cmdline/10-camphor-image.sh"]);
}
