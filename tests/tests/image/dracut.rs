//! The image flow in an initrd that a site made with dracut and our module.

use anyhow::Result;
use tests::group::{ADDRESS, Group, NODE};
use tests::head::Head;
use tests::ssh::Key;
use tests::vm::{Spec, Vm};
use tests::{artefacts, dracut, scenario};

use crate::inside;

/// `rd.camphor` makes imageinit PID 1 in dracut's place; what follows is what our own initrd does.
#[test]
fn image_dracut_initrd() -> Result<()> {
    scenario::run("image_dracut_initrd", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        let (kernel, initrd) = (artefacts::kernel()?.image, dracut::initrd()?);
        let files = ["--kernel", &kernel.to_string_lossy(), "--initrd", &initrd.to_string_lossy()];
        head.cli(["netboot", "add", "site"].iter().chain(&files))?;
        Group::diskless().netboot("site", "rd.camphor").arm(&head, &key)?;
        head.serve()?;
        let spec = Spec { memory: 1280, ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        inside::log_in(&mut vm)?;
        head.expect_state(NODE, "diskless-running")?;
        inside::check(scenario, &key, ADDRESS, "tmpfs")
    })
}
