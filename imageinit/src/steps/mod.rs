//! The table of contents: what imageinit does, in this order. One file a step; the steps that only carry out their part of the
//! plan are together in [`stages`].

#[cfg(test)]
mod kusu_tests;
mod modules;
mod network;
mod nii;
mod preflight;
mod report;
#[cfg(test)]
mod rerun_tests;
mod session;
mod settle_network;
mod stages;
#[cfg(test)]
mod tests;

use std::time::Duration;

use host::Step;

use crate::context::Ctx;

/// The steps. The docs and tests know their names; `install.deadlines` of the NII goes by them.
pub const STEPS: &[Step<Ctx>] = &[
    Step {
        name: "modules",
        about: "load the kernel modules of the hardware that is present",
        deadline: seconds(120),
        run: modules::run,
        when: always,
    },
    Step {
        name: "network",
        about: "bring the links up and get an address by DHCP",
        deadline: Duration::MAX,
        run: network::run,
        when: always,
    },
    Step {
        name: "session",
        about: "ask the head node for the time, and trade the token for a session",
        deadline: Duration::MAX,
        run: session::run,
        when: always,
    },
    Step {
        name: "nii",
        about: "get the document that says what this node is to become",
        deadline: seconds(600),
        run: nii::run,
        when: always,
    },
    Step {
        name: "settle-network",
        about: "load the NII's modules, configure the interfaces as it says",
        deadline: seconds(180),
        run: settle_network::run,
        when: always,
    },
    Step {
        name: "preflight",
        about: "look at the machine and the image, and plan everything; nothing is touched",
        deadline: seconds(600),
        run: preflight::run,
        when: always,
    },
    Step {
        name: "partition",
        about: "write the partition tables and the journal",
        deadline: seconds(180),
        run: stages::partition,
        when: to_disk,
    },
    Step {
        name: "format",
        about: "make the file systems and mount them",
        deadline: seconds(1800),
        run: stages::format,
        when: to_do,
    },
    Step {
        name: "unpack",
        about: "fetch, verify and unpack the image",
        deadline: seconds(7200),
        run: stages::unpack,
        when: to_do,
    },
    Step {
        name: "configure",
        about: "make the root this node's own: names, network, accounts, keys",
        deadline: seconds(600),
        run: stages::configure,
        when: to_do,
    },
    Step {
        name: "bootloader",
        about: "make the disk bootable",
        deadline: seconds(900),
        run: stages::bootloader,
        when: to_disk,
    },
    Step {
        name: "commit",
        about: "write everything out and mark the install as done",
        deadline: seconds(600),
        run: stages::commit,
        when: to_disk,
    },
    Step {
        name: "report",
        about: "tell the head node",
        deadline: seconds(180),
        run: report::run,
        when: always,
    },
];

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn always(_: &Ctx) -> bool {
    true
}

fn to_do(ctx: &Ctx) -> bool {
    !ctx.committed
}

fn to_disk(ctx: &Ctx) -> bool {
    to_do(ctx) && ctx.disked()
}
