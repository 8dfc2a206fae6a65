//! The root account and SSH.

use nii::Finding;
use nii::v1::HostKeys;

use super::{Context, file, file_with_mode, run};
use crate::op::{Act, Content, Guard, Op};

pub(super) fn ops(context: &Context<'_>, out: &mut Vec<Finding>) -> Vec<Op> {
    let nii = context.inputs.nii;
    let mut ops = host_keys(context, out);
    if !nii.root.authorized_keys.is_empty() {
        let keys = nii.root.authorized_keys.join("\n") + "\n";
        let reason = format!("{} may log in as root", count(nii.root.authorized_keys.len(), "key"));
        // sshd's StrictModes refuses keys that others could change.
        ops.push(Op::new(Act::Mkdir { path: "root/.ssh".into(), mode: 0o700 }, reason.clone()));
        ops.push(file_with_mode("root/.ssh/authorized_keys", Content::Text(keys), 0o600, reason));
    }
    let hash = nii.secrets.as_ref().and_then(|secrets| secrets.root_password_hash.clone());
    let reason = if hash.is_some() { "the NII's root password" } else { "the NII has no root password" };
    ops.push(Op::new(Act::SetPassword { user: "root".into(), hash }, reason));
    ops
}

fn host_keys(context: &Context<'_>, out: &mut Vec<Finding>) -> Vec<Op> {
    let nii = context.inputs.nii;
    let remove = Act::Remove { path: "etc/ssh/ssh_host_*".into() };
    let mut ops = vec![Op::new(remove, "nodes of one image must not share its SSH host keys")];
    match (nii.root.ssh_host_keys, &nii.secrets) {
        (HostKeys::Generate, _) => {
            let generate = run(&["ssh-keygen", "-A"], "new SSH host keys of its own");
            ops.push(generate.when(Guard::has("usr/bin/ssh-keygen")));
        }
        (HostKeys::Provided, None) => {
            out.push(Finding::error("secrets", "are absent, and root.ssh_host_keys is `provided`"));
        }
        (HostKeys::Provided, Some(secrets)) => {
            for key in &secrets.ssh_host_keys {
                let path = format!("etc/ssh/ssh_host_{}_key", key.kind);
                let reason = format!("the NII's {} host key", key.kind);
                let private = Content::Secret(key.private.clone());
                ops.push(file_with_mode(&path, private, 0o600, reason.clone()));
                let public = format!("{}\n", key.public.trim_end());
                ops.push(file(&format!("{path}.pub"), public, reason));
            }
        }
    }
    ops
}

fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("one {noun}") } else { format!("{n} {noun}s") }
}
