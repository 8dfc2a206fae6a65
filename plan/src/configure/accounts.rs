//! The root account and SSH.

use nii::v1::HostKeys;
use nii::{Finding, Nii};

use super::{file, file_with_mode, run};
use crate::op::{Act, Content, Guard, Op};

/// Host keys, who may log in as root, and root's password.
pub(crate) fn ops(nii: &Nii, out: &mut Vec<Finding>) -> Vec<Op> {
    let mut ops = host_keys(nii, out);
    ops.extend(authorized_keys(&nii.root.authorized_keys));
    let hash = nii.secrets.as_ref().and_then(|secrets| secrets.root_password_hash.clone());
    let reason = if hash.is_some() { "the NII's root password" } else { "the NII has no root password" };
    ops.push(Op::new(Act::SetPassword { user: "root".into(), hash }, reason));
    ops
}

/// The NII's keys and no others: whoever had a key in the image is not meant by that.
fn authorized_keys(keys: &[String]) -> Vec<Op> {
    const FILE: &str = "root/.ssh/authorized_keys";
    let remove = |path: String| Op::new(Act::Remove { path }, "the NII says who may log in as root");
    // sshd reads this one, too.
    let mut ops = vec![remove(format!("{FILE}2"))];
    if keys.is_empty() {
        ops.push(remove(FILE.into()));
    } else {
        let reason = format!("{} may log in as root", count(keys.len(), "key"));
        let text = Content::Text(keys.join("\n") + "\n");
        // sshd's StrictModes refuses keys that others could change.
        ops.push(Op::new(Act::Mkdir { path: "root/.ssh".into(), mode: 0o700 }, reason.clone()));
        ops.push(file_with_mode(FILE, text, 0o600, reason));
    }
    ops
}

fn host_keys(nii: &Nii, out: &mut Vec<Finding>) -> Vec<Op> {
    let remove = Act::Remove { path: "etc/ssh/ssh_host_*".into() };
    let mut ops = vec![Op::new(remove, "nodes of one image must not share its SSH host keys")];
    let kept = nii.secrets.as_ref().map_or(&[][..], |secrets| &secrets.ssh_host_keys);
    match (nii.root.ssh_host_keys, &nii.secrets) {
        (HostKeys::Provided, None) => {
            out.push(Finding::error("secrets", "are absent, and root.ssh_host_keys is `provided`"));
        }
        (HostKeys::Provided | HostKeys::Keep, _) if !kept.is_empty() => {
            for key in kept {
                let path = format!("etc/ssh/ssh_host_{}_key", key.kind);
                let reason = format!("the node's {} host key", key.kind);
                let private = Content::Secret(key.private.clone());
                ops.push(file_with_mode(&path, private, 0o600, reason.clone()));
                let public = format!("{}\n", key.public.trim_end());
                ops.push(file(&format!("{path}.pub"), public, reason));
            }
        }
        _ => {
            let generate = run(&["ssh-keygen", "-A"], "new SSH host keys of its own");
            ops.push(generate.when(Guard::has("usr/bin/ssh-keygen")));
        }
    }
    ops
}

fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("one {noun}") } else { format!("{n} {noun}s") }
}
