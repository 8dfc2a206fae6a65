//! The image flow's hook, which the module of `dracut-module/` installs and our segment has not.

use std::fs;
use std::path::Path;

use crate::initrd::{FLAVOURS, Initrd};

/// dracut's first phase, and what would follow it.
const BOOT: &str = "source_hook cmdline; echo 'boot goes on' >> /log";
/// dracut installs hooks in the first up to 109, in the second from 110 on.
const TREES: [&str; 2] = ["usr/lib/dracut/hooks", "var/lib/dracut/hooks"];

/// Tries `test` in each initrd that a site may make, with the kernel command line `words`.
fn each(words: &str, test: impl Fn(&Initrd)) {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dracut-module/90camphor");
    let hook = fs::read_to_string(module.join("camphor-image.sh")).unwrap();
    for flavour in FLAVOURS {
        eprintln!("{flavour:?}");
        let initrd = Initrd::new(*flavour, "");
        for tree in TREES {
            initrd.put(&format!("{tree}/cmdline/10-camphor-image.sh"), &hook);
        }
        let log = "#!/bin/sh\necho \"imageinit is PID $$, with $# words\" >> /log\n";
        initrd.program("usr/libexec/camphor/imageinit", log);
        initrd.cmdline(&format!("camphor.head=http://10.0.0.1:8080 {words}"));
        test(&initrd);
    }
}

#[test]
fn a_shell_that_is_pid_1_makes_way_for_imageinit() {
    each("rd.camphor", |initrd| {
        assert!(initrd.run_as_init(BOOT));
        assert_eq!(initrd.log(), ["imageinit is PID 1, with 0 words"]);
        assert!(!initrd.path("run/camphor").exists(), "the package flow has not begun");
    });
}

#[test]
fn under_systemd_it_stops_and_says_what_is_needed() {
    each("rd.camphor", |initrd| {
        assert!(!initrd.run(BOOT), "held until killed");
        assert_eq!(initrd.log(), ["sleep 60"]);
        let said = initrd.text("dev/ttyS0");
        let want = "camphor: STOPPED: rd.camphor under systemd: boot with rdinit=/usr/libexec/camphor/imageinit instead.";
        assert!(said.starts_with(want), "{said}");
    });
}

#[test]
fn without_its_word_the_boot_goes_on() {
    for words in ["", "rd.camphor=0"] {
        each(words, |initrd| {
            assert!(initrd.run_as_init(BOOT));
            assert_eq!(initrd.log(), ["boot goes on"], "{words:?}");
        });
    }
}
