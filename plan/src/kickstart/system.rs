//! Commands about the installed system as a whole: clock, accounts, services, boot loader, and what follows.

use nii::Finding;
use nii::v1::{After, Boot, Firewall, Install, Locale, Package, Root, User};

use super::release::Words;
use super::words::{Line, lines};

/// `lang` and `keyboard`.
pub(super) fn language(locale: &Locale) -> String {
    lines([Line::new("lang").word(&locale.lang), Line::new("keyboard").word(&locale.keyboard)])
}

/// `timezone` and `timesource`.
pub(super) fn time(locale: &Locale, words: Words) -> String {
    let zone = Line::new("timezone").word(&locale.timezone).flag_if("utc", locale.hardware_clock_utc);
    if !words.timesource {
        return lines([zone.list("ntpservers", &locale.ntp)]);
    }
    let servers = locale.ntp.iter().map(|server| Line::new("timesource").option("ntp-server", server));
    lines([zone].into_iter().chain(servers))
}

/// `rootpw`, `sshkey` and `user`. Passwords are locked here and set by `installer finish`: the kickstart stays readable
/// on the node. Of root's keys the first will do, `finish` writes them all, and pykickstart warns of an account's second.
pub(super) fn accounts(root: &Root, users: &[User]) -> String {
    let key = |name: &str, key: &String| Line::new("sshkey").option("username", name).word(key);
    let mut all = vec![Line::new("rootpw").flag("lock")];
    all.extend(root.authorized_keys.first().map(|text| key("root", text)));
    for user in users {
        let line = Line::new("user").option("name", &user.name).flag("lock");
        let line = line.maybe("uid", user.uid).maybe("gid", user.gid).list("groups", &user.groups);
        let line = line.maybe("homedir", user.home.as_ref()).maybe("shell", user.shell.as_ref());
        all.push(line.maybe("gecos", user.gecos.as_ref()));
        all.extend(user.authorized_keys.iter().map(|text| key(&user.name, text)));
    }
    lines(all)
}

/// `selinux`, `firewall` and `services`.
pub(super) fn security(package: &Package) -> String {
    use nii::v1::Selinux;
    let mode = match package.selinux {
        Selinux::Enforcing => "enforcing",
        Selinux::Permissive => "permissive",
        Selinux::Disabled => "disabled",
    };
    let mut all = vec![Line::new("selinux").flag(mode)];
    all.extend(package.firewall.as_ref().map(firewall));
    let services = &package.services;
    if !services.enabled.is_empty() || !services.disabled.is_empty() {
        let line = Line::new("services").list("enabled", &services.enabled);
        all.push(line.list("disabled", &services.disabled));
    }
    lines(all)
}

fn firewall(wall: &Firewall) -> Line {
    if !wall.enabled {
        return Line::new("firewall").flag("disabled");
    }
    Line::new("firewall").flag("enabled").list("port", &wall.ports).list("service", &wall.services)
}

/// `bootloader`. The order of the firmware stays: the network is first, and the head node decides.
pub(super) fn bootloader(boot: &Boot, drive: Option<&str>) -> String {
    let line = Line::new("bootloader").option("location", "mbr").flag("leavebootorder");
    let line = line.maybe("boot-drive", drive);
    let args = boot.kernel_args.join(" ");
    lines([if args.is_empty() { line } else { line.option("append", args) }])
}

/// `reboot` and its kin.
pub(super) fn after(install: &Install) -> String {
    lines([match install.after {
        // Validation refuses a switch of root: anaconda cannot.
        After::Reboot | After::SwitchRoot => Line::new("reboot"),
        After::Kexec => Line::new("reboot").flag("kexec"),
        After::Poweroff => Line::new("poweroff"),
    }])
}

/// The machine must be one that the packages are for.
pub(super) fn check(package: &Package, arch: &str, out: &mut Vec<Finding>) {
    if package.os.arch != arch {
        let message = format!("is {}, the machine is {arch}", package.os.arch);
        out.push(Finding::error("package.os.arch", message));
    }
}
