//! What stands against making the devices of an NII. Against keeping them: [`kept`].

use nii::v1::After;
use nii::{Finding, Nii};

use super::ops::key;
use super::{Stack, kept, tools};
use crate::op::{Act, Op};

pub(super) type Out<'a> = &'a mut Vec<Finding>;

/// `tried` and `looks` are the ops that look at what is kept, `made` those that make the stack.
pub(crate) fn check(stack: &Stack<'_>, nii: &Nii, [tried, looks, made]: [&[Op]; 3], out: Out<'_>) {
    programs(stack, [tried, looks, made].concat().as_slice(), out);
    keys(stack, nii, out);
    kept(stack, out);
    if nii.install.after == After::SwitchRoot && !made.is_empty() {
        let message = "must be `reboot`, `kexec` or `poweroff`: udev of the new root does not know the arrays and volumes that \
                       the initrd started";
        out.push(Finding::error("install.after", message));
    }
}

/// What stands against keeping what the NII keeps.
pub(crate) fn kept(stack: &Stack<'_>, out: Out<'_>) {
    kept::check(stack, out);
}

/// Programs that the initrd must have.
fn programs(stack: &Stack<'_>, ops: &[Op], out: Out<'_>) {
    for (program, set) in [("mdadm", "raid"), ("cryptsetup", "luks"), ("lvm", "lvm")] {
        let runs = |op: &Op| match &op.act {
            Act::Stack(act) => tools::commands(act).iter().any(|command| command.argv[0] == program),
            _ => false,
        };
        if ops.iter().any(runs) && !stack.facts.tools.iter().any(|known| known == program) {
            let message = format!("this initrd has no {program}; build it with `--tool-set {set}`");
            out.push(Finding::error("storage", message));
        }
    }
}

/// Passphrases: of those that are made, and of those that are kept, which the installed system opens.
fn keys(stack: &Stack<'_>, nii: &Nii, out: Out<'_>) {
    for luks in stack.storage.luks.iter().filter(|luks| key(nii, &luks.name).is_none()) {
        let message = format!("has no passphrase for the encrypted device `{}`", luks.name);
        out.push(Finding::error("secrets.luks_keys", message));
    }
}
