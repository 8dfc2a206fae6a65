//! The rendered `%pre` against real volume groups on loop devices. Needs root, lvm and losetup; no device-mapper: LVM is
//! told to activate nothing, and its metadata are all that counts here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cases::{RELEASES, by_name};
use crate::kickstart;

/// A folder of its own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pre-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A disk in a sparse file.
struct Loop(String);

impl Loop {
    fn new(folder: &Folder, name: &str) -> Self {
        let file = folder.join(name);
        fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
        let output = Command::new("losetup").args(["--find", "--show"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).output();
    }
}

/// Disks, LVM that sees no others, and a program in the place of the installer that writes down what it is told.
struct Site {
    disks: [Loop; 3],
    folder: Folder,
}

impl Site {
    fn new() -> Self {
        let folder = Folder::new();
        let disks = ["a", "b", "c"].map(|name| Loop::new(&folder, name));
        let seen: Vec<String> = disks.iter().map(|disk| format!("\"a|^{}$|\"", disk.0)).collect();
        let seen = seen.join(", ");
        let lvm = format!(
            "global {{ activation = 0 }}\ndevices {{ filter = [{seen}, \"r|.*|\"] }}\nbackup {{ backup = 0\narchive = 0 }}\n"
        );
        fs::write(folder.join("lvm.conf"), lvm).unwrap();
        let said = folder.join("said");
        let installer = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> {}\n", said.display());
        let path = folder.join("installer");
        fs::write(&path, installer).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
        Self { disks, folder }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LVM_SYSTEM_DIR", &self.folder.0).env("LVM_SUPPRESS_FD_WARNINGS", "1");
        command
    }

    fn lvm(&self, words: &str) -> Output {
        self.command("lvm").args(words.split(' ')).output().unwrap()
    }

    fn make(&self, words: &str) {
        let output = self.lvm(words);
        assert!(output.status.success(), "{words}: {output:?}");
    }

    /// A group with two volumes. LVM makes no second one of that name, unless it does not see the first.
    fn group(&self, name: &str, disks: &[usize]) {
        let paths: Vec<&str> = disks.iter().map(|disk| self.disks[*disk].0.as_str()).collect();
        let only = paths.iter().map(|path| format!("\"a|^{path}$|\",")).collect::<String>();
        let only = format!("--config devices{{filter=[{only}\"r|.*|\"]}}");
        self.make(&format!("vgcreate -q {only} {name} {}", paths.join(" ")));
        for volume in ["root", "home"] {
            self.make(&format!("lvcreate -q {only} -an -Zn -Wn -L 8M -n {volume} {name}"));
        }
    }

    /// The volumes that are there, of all groups, in order.
    fn volumes(&self) -> Vec<String> {
        let output =
            self.lvm("lvs --noheadings -o lv_full_name,devices --separator @ -O lv_full_name,devices");
        let text = String::from_utf8(output.stdout).unwrap();
        let volume = |line: &str| line.trim().split('(').next().unwrap().to_owned();
        text.lines().map(volume).collect()
    }

    /// Runs the `%pre` of the case `keep_volume` by a shell, its partition being the first disk. Whether it succeeded, and
    /// what the installer was told.
    fn pre(&self, shell: &str) -> (bool, String) {
        let said = self.folder.join("said");
        let _ = fs::remove_file(&said);
        let text = kickstart(&by_name("keep_volume"), &RELEASES[1]);
        let pre = text.split_once("%pre --erroronfail\n").unwrap().1.split_once("\n%end").unwrap().0;
        let installer = self.folder.join("installer");
        let pre = pre
            .replace("/run/camphor/installer", installer.to_str().unwrap())
            .replace("/dev/sda3", &self.disks[0].0);
        let output = self.command(shell).args(["-c", &pre]).output().unwrap();
        (output.status.success(), fs::read_to_string(&said).unwrap_or_default())
    }
}

fn on(volume: &str, disk: &Loop) -> String {
    format!("{volume}@{}", disk.0)
}

#[test]
fn a_volume_is_removed_from_its_group_alone() {
    for shell in ["dash", "bash"] {
        let site = Site::new();
        let [first, _, third] = &site.disks;
        site.group("vg0", &[0]);
        site.group("other", &[2]);
        assert_eq!(site.pre(shell), (true, "report begin\n".into()), "{shell}");
        let left = [on("other/home", third), on("other/root", third), on("vg0/home", first)];
        assert_eq!(site.volumes(), left, "{shell}");
        assert!(site.pre(shell).0, "{shell}: what is gone need not be removed");
    }
}

/// Each has a group of the right name that is not, or not only, where it should be.
#[test]
fn no_volume_of_another_disk_is_removed() {
    for shell in ["dash", "bash"] {
        let elsewhere: &[&[&[usize]]] = &[&[&[1]], &[&[0, 1]], &[&[0], &[1]], &[]];
        for groups in elsewhere {
            let site = Site::new();
            groups.iter().for_each(|disks| site.group("vg0", disks));
            let before = site.volumes();
            let (succeeded, said) = site.pre(shell);
            assert!(!succeeded, "{shell} {groups:?}: {said}");
            let found = match groups {
                [] => "no disk".to_owned(),
                groups => {
                    let mut disks: Vec<&str> = groups
                        .iter()
                        .flat_map(|disks| disks.iter().map(|disk| &*site.disks[*disk].0))
                        .collect();
                    disks.sort_unstable();
                    disks.join(" ")
                }
            };
            let expected = format!(
                "report begin\nreport failed --why volume group vg0 is to be kept on {} and nothing else, but is on {found}: \
                 nothing was removed\n",
                site.disks[0].0
            );
            assert_eq!(said, expected, "{shell} {groups:?}");
            assert_eq!(site.volumes(), before, "{shell} {groups:?}");
        }
    }
}
