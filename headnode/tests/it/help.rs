//! docs/headnode-help.txt is what the program says of itself. After a change of the command line:
//! `CAMPHOR_WRITE_DOCS=1 cargo test -p headnode --test it help`.

use std::path::Path;
use std::process::Command;

/// Above what all commands have.
const GLOBAL: &str = "With every command:";

/// What `-h` of the command at `path` says, and of those below it.
fn tree(path: &[&str], out: &mut String) {
    let output = Command::new(env!("CARGO_BIN_EXE_headnode")).args(path).arg("-h").output().unwrap();
    assert!(output.status.success(), "{path:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let own = if path.is_empty() { &help } else { help.split(GLOBAL).next().unwrap() };
    let lines: Vec<&str> = own.lines().filter(|line| !line.trim_start().starts_with("-h, --help")).collect();
    let own = lines.join("\n");
    let own = own.trim_end().trim_end_matches("Options:").trim_end();
    out.push_str(&format!("{}\n\n{own}\n\n\n", [&["headnode"], path].concat().join(" ").to_uppercase()));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in commands.take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            tree(&[path, &[name]].concat(), out);
        }
    }
}

#[test]
fn the_page_is_what_the_program_says() {
    let mut said = String::new();
    tree(&[], &mut said);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/headnode-help.txt");
    if std::env::var_os("CAMPHOR_WRITE_DOCS").is_some() {
        std::fs::write(&page, &said).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    let differs = said.lines().zip(written.lines()).find(|(said, written)| said != written);
    assert!(
        said == written,
        "docs/headnode-help.txt is old, first at {differs:?}: see the head of this test"
    );
}
