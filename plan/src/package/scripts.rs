//! The site's scripts: where they are kept, and how they are run.

use nii::v1::{Phase, Script};

use crate::configure::file_with_mode;
use crate::op::{Act, Content, Op};

/// Where the installer keeps the scripts that it fetched and checked, by phase.
pub const SCRIPTS: &str = "/run/camphor/scripts";
/// Where they are in the new root; they stay, for whoever wants to know what was run.
const KEPT: &str = "var/lib/camphor/scripts";
/// What runs those of the first boot.
const FIRST_BOOT: &str = "var/lib/camphor/first-boot";
const UNIT: &str = "camphor-first-boot.service";

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pre => "pre",
        Phase::Post => "post",
        Phase::FirstBoot => "first-boot",
    }
}

/// `post/02-NAME`: the order of the list is the order of the names. `None` if the script is not of `scripts`.
fn below(scripts: &[Script], script: &Script) -> Option<String> {
    let mut same = scripts.iter().filter(|other| other.phase == script.phase);
    let number = same.position(|other| other == script)? + 1;
    Some(format!("{}/{number:02}-{}", phase_name(script.phase), script.name))
}

/// Where the installer keeps a script of the list `scripts`, as in `/run/camphor/scripts/post/02-NAME`.
pub fn script_path(scripts: &[Script], script: &Script) -> Option<String> {
    Some(format!("{SCRIPTS}/{}", below(scripts, script)?))
}

/// Copies a script into the new root; its place there, as the root sees it.
fn deliver(scripts: &[Script], script: &Script) -> Option<(Op, String)> {
    let below = below(scripts, script)?;
    let to = format!("{KEPT}/{below}");
    let act = Act::Deliver {
        from: format!("{SCRIPTS}/{below}"),
        to: to.clone(),
        digest: script.digest,
        mode: 0o700,
    };
    Some((
        Op::new(act, format!("{} script `{}` of the NII", phase_name(script.phase), script.name)),
        format!("/{to}"),
    ))
}

/// Brings the scripts of `post` into the root and runs them there, in order, with the NII's attributes in their
/// environment.
pub(super) fn post(scripts: &[Script]) -> Vec<Op> {
    let of_phase = scripts.iter().filter(|script| script.phase == Phase::Post);
    let ops = of_phase.filter_map(|script| {
        let (deliver, path) = deliver(scripts, script)?;
        let with_attributes = r#"set -a; . /etc/profile.nii; set +a; exec "$@""#;
        let mut argv: Vec<String> = ["sh", "-c", with_attributes, "sh"].map(str::to_owned).to_vec();
        argv.extend(script.interpreter.clone());
        argv.push(path);
        let run = Op::new(Act::Run { argv }, format!("post script `{}` of the NII", script.name));
        Some([deliver, run])
    });
    ops.flatten().collect()
}

/// Brings the scripts of `first-boot` into the root, with a unit that runs them.
pub(super) fn first_boot(scripts: &[Script]) -> Vec<Op> {
    let of_phase = scripts.iter().filter(|script| script.phase == Phase::FirstBoot);
    let delivered: Vec<(Op, String, &Script)> =
        of_phase.filter_map(|script| deliver(scripts, script).map(|(op, path)| (op, path, script))).collect();
    if delivered.is_empty() {
        return Vec::new();
    }
    let calls: String = delivered
        .iter()
        .map(|(_, path, script)| {
            let words: Vec<String> =
                script.interpreter.iter().chain([path]).map(|word| quoted(word)).collect();
            format!(
                "once {} {}\n",
                quoted(&format!("{}.done", path.trim_start_matches('/'))),
                words.join(" ")
            )
        })
        .collect();
    let reason = "they run once, at the first boot";
    let mut ops: Vec<Op> = delivered.into_iter().map(|(op, _, _)| op).collect();
    ops.push(file_with_mode(
        FIRST_BOOT,
        Content::Text(format!("{RUNNER}{calls}exit $failed\n")),
        0o700,
        reason,
    ));
    let unit = format!("etc/systemd/system/{UNIT}");
    ops.push(file_with_mode(&unit, Content::Text(unit_text()), 0o644, reason));
    let wanted = format!("etc/systemd/system/multi-user.target.wants/{UNIT}");
    ops.push(Op::new(Act::Symlink { path: wanted, target: format!("../{UNIT}") }, reason));
    ops
}

/// The mark comes before the run: a script that reboots the machine is not run again.
const RUNNER: &str = r#"#!/bin/sh
# Written by camphor from the node's NII: runs each first-boot script once, in order.
failed=0
set -a
. /etc/profile.nii
set +a
once() {
    mark="/$1"
    shift
    if [ -e "$mark" ]; then return; fi
    : > "$mark"
    "$@" || { failed=1; echo "camphor: first-boot script failed with status $?: $*" >&2; }
}
"#;

fn unit_text() -> String {
    format!(
        "# Written by camphor from the node's NII.\n[Unit]\nDescription=First-boot scripts of the site\n\
         Wants=network-online.target\nAfter=network-online.target\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=/bin/sh /{FIRST_BOOT}\n\n[Install]\nWantedBy=multi-user.target\n"
    )
}

/// One word for sh(1).
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
