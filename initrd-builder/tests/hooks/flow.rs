//! What the hooks do, phase by phase, in old and new dracut, under dash and bash.

use std::os::unix::fs::PermissionsExt;

use crate::initrd::{FLAVOURS, Flavour, Initrd};

/// Writes a kickstart, as `installer prepare` does.
const PREPARE: &str = "[ \"$1\" != prepare ] || printf 'text\\nreboot\\n' > /tmp/ks.cfg";
/// Why it is held after `prepare`.
const NOT_TAKEN: &str = "anaconda did not take the kickstart: see /tmp/ks.info";
const ENDED: &str = "anaconda ended the shell of the job";
/// Fails as `installer prepare` never does: it comes back.
const FAIL: &str = "[ \"$1\" != prepare ]";

/// dracut's phases before the initqueue, each a shell of its own as under systemd.
fn start(initrd: &Initrd) {
    for phase in ["cmdline", "pre-udev", "pre-trigger"] {
        assert!(initrd.run(&format!("source_hook {phase}")), "{phase}");
    }
}

/// dracut's initqueue: `before` happens, then a few rounds of its loop. Whether the boot goes on.
fn initqueue(initrd: &Initrd, before: &str) -> bool {
    let script = format!(
        "export kickstart=http://10.0.0.1:8080/boot/refuse.ks\nmain_loop=0\n{before}\n\
         for round in 1 2 3; do\n\
           for job in $(list_hooks initqueue); do job=$job . \"$job\"; done\n\
           check_finished && echo 'boot goes on' >> /log && break\n\
           for job in $(list_hooks initqueue/settled); do job=$job . \"$job\"; done\n\
         done"
    );
    initrd.run(&script)
}

/// The log without the watchdog's own line, which comes when it comes.
fn log(initrd: &Initrd) -> Vec<String> {
    initrd.log().into_iter().filter(|line| line != "sleep 30").collect()
}

fn console(initrd: &Initrd) -> String {
    initrd.text("dev/ttyS0")
}

fn each(test: impl Fn(Flavour)) {
    FLAVOURS.iter().for_each(|flavour| test(*flavour));
}

#[test]
fn a_network_comes_and_the_install_goes_its_way() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        start(&initrd);
        let program = initrd.path("run/camphor/installer").metadata().unwrap();
        assert_eq!(program.permissions().mode() & 0o7777, 0o755, "{flavour:?}");
        // EL 8 sources the hook for each interface.
        assert!(initqueue(&initrd, "source_hook initqueue/online eth0; source_hook initqueue/online eth1"));
        let want = ["installer prepare", "parse /tmp/ks.cfg", "run_kickstart", "boot goes on"];
        assert_eq!(log(&initrd), want, "{flavour:?}");
        assert_eq!(initrd.text("run/install/ks.cfg"), "text\nreboot\n");
        assert!(!console(&initrd).contains("STOPPED"), "{flavour:?}");
        assert!(initrd.run("[ ! -e \"$hookdir/initqueue/camphor.sh\" ]"), "{flavour:?}: queued once");
    });
}

#[test]
fn dracut_waits_for_the_job_and_not_for_anybodys_kickstart() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        start(&initrd);
        assert!(initrd.run("echo > /tmp/ks.cfg.done; mkdir -p /run/camphor/started; ! check_finished"));
        assert!(initrd.run("mkdir /run/camphor/handed-over; check_finished"), "{flavour:?}");
    });
}

#[test]
fn a_failed_prepare_never_reaches_anaconda() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, FAIL);
        start(&initrd);
        assert!(!initqueue(&initrd, "source_hook initqueue/online eth0"), "{flavour:?}: held until killed");
        let report = "installer report failed --text installer prepare failed with status 1";
        assert_eq!(log(&initrd), ["installer prepare", report, "sleep 60"], "{flavour:?}");
        assert!(console(&initrd).contains("camphor: STOPPED: installer prepare failed with status 1."));
    });
}

#[test]
fn a_kickstart_that_anaconda_did_not_take_stops_the_install() {
    let bodies = [
        ("return 0", NOT_TAKEN),
        ("echo text > /run/install/ks.cfg", NOT_TAKEN),
        ("printf 'text\\nreboot\\nmore\\n' > /run/install/ks.cfg", NOT_TAKEN),
        ("printf 'text\\nhalt\\n' > /run/install/ks.cfg", NOT_TAKEN),
        ("exit 1", ENDED),
        (". /lib/anaconda-lib-that-is-not-there.sh", ENDED),
    ];
    each(|flavour| {
        for (body, why) in bodies {
            let initrd = Initrd::new(flavour, PREPARE);
            // The same text, but not put there by this boot's parse_kickstart.
            initrd.put("run/install/ks.cfg", "text\nreboot\n");
            initrd.anaconda(body);
            start(&initrd);
            assert!(!initqueue(&initrd, "source_hook initqueue/online eth0"), "{flavour:?} {body}");
            let report = format!("installer report failed --text {why}");
            let want = ["installer prepare", "parse /tmp/ks.cfg", report.as_str(), "sleep 60"];
            assert_eq!(log(&initrd), want, "{flavour:?} {body}");
            assert!(console(&initrd).contains(&format!("STOPPED: {why}.")), "{}", console(&initrd));
        }
    });
}

#[test]
fn an_initrd_without_anaconda_is_held_before_anything_is_touched() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        std::fs::remove_file(initrd.path("usr/lib/anaconda-lib.sh")).unwrap();
        start(&initrd);
        assert!(!initqueue(&initrd, "source_hook initqueue/online eth0"));
        assert_eq!(log(&initrd), ["sleep 60"], "{flavour:?}");
    });
}

#[test]
fn without_stage_2_no_disk_is_touched() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        start(&initrd);
        let before = "root=anaconda-net:http://mirror/tree; source_hook initqueue/online eth0";
        assert!(!initqueue(&initrd, before), "{flavour:?}");
        assert_eq!(log(&initrd), ["sleep 60"], "{flavour:?}");
        assert!(console(&initrd).contains("STOPPED: no stage 2 could be fetched from http://mirror/tree;"));

        let initrd = Initrd::new(flavour, PREPARE);
        start(&initrd);
        let fetched = "mkdir -p $hookdir/mount; echo > $hookdir/mount/01-123-anaconda.sh";
        assert!(initqueue(&initrd, &format!("{before}; {fetched}")), "{flavour:?}");
        assert_eq!(log(&initrd).first().map(String::as_str), Some("installer prepare"), "{flavour:?}");
    });
}

#[test]
fn without_our_words_the_initrd_is_the_stock_one() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        initrd.cmdline("inst.ks=http://10.0.0.1/site.ks");
        start(&initrd);
        let before =
            "source_hook initqueue/online eth0; source_hook initqueue/timeout; source_hook emergency";
        assert!(initqueue(
            &initrd,
            &format!("main_loop=99\n{before}\n[ $main_loop = 99 ] && echo same >> /log")
        ));
        let want = ["fetched http://10.0.0.1:8080/boot/refuse.ks", "same", "boot goes on"];
        assert_eq!(log(&initrd), want, "{flavour:?}");
        assert!(!initrd.path("run/camphor").exists());
    });
}

#[test]
fn no_online_hook_but_an_address() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        start(&initrd);
        assert!(initqueue(&initrd, "main_loop=20"));
        assert!(log(&initrd).is_empty(), "{flavour:?}: there is no address");
        initrd.put("proc/net/if_inet6", "fd770000000000000000000000000001 02 40 00 80     eth0\n");
        assert!(initqueue(&initrd, "main_loop=19"));
        assert!(log(&initrd).is_empty(), "{flavour:?}: not ten seconds yet");
        assert!(initqueue(&initrd, "main_loop=20"));
        assert_eq!(log(&initrd).first().map(String::as_str), Some("installer prepare"), "{flavour:?}");
        assert_eq!(log(&initrd).last().map(String::as_str), Some("boot goes on"), "{flavour:?}");
    });
}

#[test]
fn no_network_is_said_and_tried_again() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        initrd.put("sys/class/net/eth0/device/vendor", "");
        initrd.put("sys/class/net/eth0/carrier", "0\n");
        start(&initrd);
        assert!(initrd.run("main_loop=300\nsource_hook initqueue/timeout\n[ $main_loop = 0 ]"));
        assert_eq!(log(&initrd), ["udevadm trigger --action=add --subsystem-match=net"], "{flavour:?}");
        assert!(console(&initrd).contains("eth0 has no link; is a cable in?"), "{}", console(&initrd));
    });
}

#[test]
fn the_watchdog_speaks_until_the_job_begins() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        let twice =
            "#!/bin/sh\n[ -e /tmp/once ] && mkdir /run/camphor/started\nmkdir /tmp/once 2> /dev/null\ntrue\n";
        initrd.program("bin/sleep", twice);
        assert!(initrd.run("source_hook cmdline; source_hook pre-udev; wait"));
        let said = console(&initrd);
        assert_eq!(said.lines().count(), 1, "{flavour:?}: {said}");
        assert!(said.starts_with("camphor: waiting for the network: no network card is known"), "{said}");
    });
}

#[test]
fn what_the_command_line_lacks_is_added() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        let added = initrd.path("etc/cmdline.d/70-camphor.conf");
        initrd.cmdline("niihost=10.0.0.1");
        assert!(initrd.run("source_hook cmdline"));
        let want = "ip=dhcp\nrd.neednet=1\ninst.ks=http://127.0.0.1/camphor-did-not-run\n";
        assert_eq!(std::fs::read_to_string(&added).unwrap(), want, "{flavour:?}");
        std::fs::remove_file(&added).unwrap();
        initrd.cmdline("camphor.nii=kusu+http://h ip=eth0:dhcp rd.neednet=1 inst.ks=http://h/ks");
        assert!(initrd.run("source_hook cmdline"));
        assert!(!added.exists(), "{flavour:?}");
    });
}

#[test]
fn a_run_without_exec_is_mounted_again() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, "exit 126");
        start(&initrd);
        assert_eq!(log(&initrd), ["mount -o remount,exec /run"], "{flavour:?}");
    });
}

#[test]
fn dracut_gives_up() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, PREPARE);
        start(&initrd);
        assert!(initqueue(&initrd, "source_hook initqueue/online eth0"));
        initrd.put("log", "");
        assert!(initrd.run("source_hook emergency"), "{flavour:?}: dracut's own shell comes after it");
        let report = "installer report failed --text dracut gave up: is there a stage 2 at inst.stage2=?";
        assert_eq!(log(&initrd), [report], "{flavour:?}");
        assert!(console(&initrd).contains("is there a stage 2 at inst.stage2=?"));
        initrd.cmdline("camphor.head=http://h rd.shell=0");
        assert!(!initrd.run("source_hook emergency"), "{flavour:?}: held, or dracut would power off");
        initrd.put("log", "");
        initrd.cmdline("camphor.head=http://h rd.break=pre-mount");
        std::fs::remove_dir(initrd.path("run/camphor/held")).unwrap();
        assert!(initrd.run("source_hook emergency"));
        assert!(log(&initrd).is_empty(), "{flavour:?}: rd.break is no failure");
    });
}

#[test]
fn rd_shell_gives_its_shell_before_holding() {
    each(|flavour| {
        let initrd = Initrd::new(flavour, FAIL);
        initrd.cmdline("camphor.head=http://h rd.shell");
        start(&initrd);
        assert!(!initqueue(&initrd, "source_hook initqueue/online eth0"));
        let why = "installer prepare failed with status 1";
        let shell = format!("emergency_shell -n camphor camphor: {why}");
        let report = format!("installer report failed --text {why}");
        assert_eq!(log(&initrd), ["installer prepare", &report, &shell, "sleep 60"], "{flavour:?}");
    });
}
