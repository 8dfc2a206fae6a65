//! A folder that plays a stock initrd with our segment in it: two shells, the tools of dracut's base module, and stand-ins
//! for dracut-lib.sh and anaconda-lib.sh, written for these tests, that log what is asked of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What dracut's library gives to hooks. `getarg NAME` and `NAME=` find a word on the command line, and print its value.
const DRACUT_LIB: &str = r#"
getarg() {
    for lib_file in /etc/cmdline.d/*.conf /proc/cmdline; do
        [ -e "$lib_file" ] || continue
        while read -r lib_line; do
            for lib_word in $lib_line; do
                [ "${lib_word%%=*}" = "${1%%=*}" ] && echo "${lib_word#*=}" && return 0
            done
        done < "$lib_file"
    done
    return 1
}
getargbool() {
    lib_value=$(getarg "$2") || { [ "$1" = 1 ]; return; }
    [ "$lib_value" != 0 ]
}
emergency_shell() { echo "emergency_shell $*" >> /log; source_hook emergency; }
"#;

/// Up to 109: one tree, through the link /lib.
const OLD: &str = r#"
hookdir=/lib/dracut/hooks
list_hooks() { for lib_hook in "$hookdir/$1"/*.sh; do [ -e "$lib_hook" ] && echo "$lib_hook"; done; }
"#;

/// From 110 on: two trees, of one name only the first.
const NEW: &str = r#"
hookdir=/var/lib/dracut/hooks
list_hooks() {
    for lib_hook in "$hookdir/$1"/*.sh; do [ -f "$lib_hook" ] && echo "$lib_hook"; done
    for lib_hook in "/usr/lib/dracut/hooks/$1"/*.sh; do
        [ -f "$lib_hook" ] && [ ! -f "$hookdir/$1/${lib_hook##*/}" ] && echo "$lib_hook"
    done
}
"#;

const COMMON: &str = r#"
export hookdir
source_hook() {
    lib_dir=$1
    shift
    for lib_next in $(list_hooks "$lib_dir"); do . "$lib_next" "$@"; done
}
check_finished() {
    for lib_next in $(list_hooks initqueue/finished); do (. "$lib_next") || return 1; done
}
"#;

/// Anaconda's hook that would fetch the kickstart of the command line, and an old ks.cfg that must not be taken for ours.
const FETCH: &str = "[ -n \"$kickstart\" ] && echo \"fetched $kickstart\" >> /log\nreturn 0\n";

/// `sleep`: ends whoever waits for ever, which a test cannot.
const SLEEP: &str = "#!/bin/sh\necho \"sleep $1\" >> /log\nkill -9 $PPID\n";

/// Which dracut is played, and by which shell.
#[derive(Clone, Copy, Debug)]
pub struct Flavour {
    pub is_new: bool,
    /// `dash`, or `bash`, which is POSIX as `sh`.
    pub shell: &'static str,
}

/// Both of both.
pub const FLAVOURS: &[Flavour] = &[
    Flavour { is_new: false, shell: "bash" },
    Flavour { is_new: false, shell: "dash" },
    Flavour { is_new: true, shell: "bash" },
    Flavour { is_new: true, shell: "dash" },
];

/// The folder; gone when dropped.
pub struct Initrd {
    dir: TempDir,
    flavour: Flavour,
}

impl Initrd {
    /// An initrd whose installer is `installer`, a shell script's body.
    pub fn new(flavour: Flavour, installer: &str) -> Self {
        let initrd = Self { dir: tempfile::tempdir().unwrap(), flavour };
        for folder in ["usr/bin", "usr/lib", "proc/net", "dev", "tmp", "run/install", "etc/cmdline.d"] {
            fs::create_dir_all(initrd.path(folder)).unwrap();
        }
        fs::create_dir_all(initrd.path("usr/lib64")).unwrap();
        for link in ["bin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), initrd.path(link)).unwrap();
        }
        initrd.programs();
        let hooks = if flavour.is_new { "var/lib/dracut/hooks" } else { "usr/lib/dracut/hooks" };
        for folder in ["initqueue/finished", "initqueue/settled", "initqueue/online", "emergency"] {
            fs::create_dir_all(initrd.path(hooks).join(folder)).unwrap();
        }
        initrd.put(&format!("{hooks}/initqueue/online/11-fetch-kickstart-net.sh"), FETCH);
        let lib = [DRACUT_LIB, if flavour.is_new { NEW } else { OLD }, COMMON].concat();
        initrd.put("usr/lib/dracut-lib.sh", &lib);
        initrd.put("proc/consoles", "ttyS0                -W- (EC p a)    4:64\n");
        initrd.put("proc/net/route", "Iface\tDestination\n");
        initrd.put("proc/net/if_inet6", "00000000000000000000000000000001 01 80 10 80       lo\n");
        initrd.put("dev/ttyS0", "");
        initrd.put("dev/null", "");
        initrd.put("log", "");
        initrd.put("run/install/ks.cfg", "an older kickstart\n");
        initrd.anaconda("cp /tmp/ks.cfg /run/install/ks.cfg");
        initrd.segment(installer);
        initrd
            .cmdline("camphor.head=http://10.0.0.1:8080 ip=dhcp inst.ks=http://10.0.0.1:8080/boot/refuse.ks");
        initrd
    }

    /// `anaconda-lib.sh`, with the given body of `parse_kickstart`.
    pub fn anaconda(&self, parse: &str) {
        let text = format!(
            "parse_kickstart() {{ echo \"parse $1\" >> /log; {parse}; }}\n\
             run_kickstart() {{ echo run_kickstart >> /log; kickstart=; source_hook initqueue/online eth0; }}\n"
        );
        self.put("usr/lib/anaconda-lib.sh", &text);
    }

    /// The kernel command line.
    pub fn cmdline(&self, text: &str) {
        self.put("proc/cmdline", &format!("{text}\n"));
    }

    /// Puts a file.
    pub fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What is at `path`.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The path on this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Runs a script in the initrd, behind dracut's library; whether it came to its end, with status 0.
    pub fn run(&self, script: &str) -> bool {
        self.run_in(&[], script)
    }

    /// As [`Initrd::run`], with the shell as PID 1: dracut's own init, where systemd is none.
    pub fn run_as_init(&self, script: &str) -> bool {
        self.run_in(&["--pid", "--fork"], script)
    }

    fn run_in(&self, namespaces: &[&str], script: &str) -> bool {
        let script = format!(". /lib/dracut-lib.sh\n{script}\n");
        let mut command = Command::new("unshare");
        command.arg("--map-root-user").args(namespaces).arg("--root").arg(self.dir.path());
        let output = command.args(["/bin/sh", "-c", &script]).env("PATH", "/bin").output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        let expected = error.lines().all(|line| line.contains("anaconda-lib"));
        assert!(expected, "{:?}: {error}", self.flavour);
        output.status.success()
    }

    /// What was logged, one word group a line.
    pub fn log(&self) -> Vec<String> {
        self.text("log").lines().map(str::to_owned).collect()
    }

    fn programs(&self) {
        for program in ["dash", "bash", "busybox"] {
            let source = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(program));
            let source = source.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("{program}"));
            fs::copy(source, self.path("bin").join(program)).unwrap();
            let libraries = Command::new("ldd").arg(source).output().unwrap();
            let libraries = String::from_utf8(libraries.stdout).unwrap();
            for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
                let target = self.path(library.trim_start_matches('/'));
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::copy(library, target).unwrap();
            }
        }
        symlink(self.flavour.shell, self.path("bin/sh")).unwrap();
        for tool in ["cp", "mkdir", "rm"] {
            symlink("busybox", self.path("bin").join(tool)).unwrap();
        }
        for (tool, text) in [
            ("sleep", SLEEP),
            ("mount", "#!/bin/sh\necho mount $* >> /log\n"),
            ("udevadm", "#!/bin/sh\necho udevadm $* >> /log\n"),
        ] {
            self.program(&format!("bin/{tool}"), text);
        }
    }

    /// Puts an executable script.
    pub fn program(&self, path: &str, text: &str) {
        self.put(path, text);
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Unpacks the segment as the kernel would, behind what is there.
    fn segment(&self, installer: &str) {
        let log = "[ \"$1\" = --list ] || echo \"installer $*\" >> /log";
        self.program("tmp/installer", &format!("#!/bin/sh\n{log}\n{installer}\n"));
        self.put("tmp/trust.json", "{}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_initrd-builder"));
        command.arg("append").current_dir(self.path("tmp"));
        command.args(["--installer", "installer", "--trust", "trust.json", "--output", "segment.img"]);
        assert!(command.output().unwrap().status.success());
        let unpack = "gzip -dc tmp/segment.img | cpio -idu --quiet --no-absolute-filenames";
        let status = Command::new("sh").args(["-c", unpack]).current_dir(self.dir.path()).status().unwrap();
        assert!(status.success());
    }
}
