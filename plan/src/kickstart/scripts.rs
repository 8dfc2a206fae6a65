//! The sections that call the installer: camphor's own `%pre`, `%onerror` and, as the very last, `%post`.

use nii::Finding;
use nii::v1::{Phase, Script};

use super::storage::Replaced;
use super::words::quote;
use crate::package;

/// Where `prepare` leaves the program for stage 2.
const INSTALLER: &str = "/run/camphor/installer";

/// The function `alone GROUP PARTITIONS`.
const ALONE: &str = include_str!("alone.sh");

/// `%pre`: reports the begin, removes the volumes that are made anew in kept groups, runs the site's scripts.
///
/// A failure is reported by itself: EL 8 and 9 do not run `%onerror` for a failed `--erroronfail` script.
pub(super) fn begin(scripts: &[Script], replaced: &[Replaced]) -> String {
    let mut text = format!(
        "%pre --erroronfail\n{INSTALLER} report begin\nfail() {{\n    \
         {INSTALLER} report failed --script \"$1\"\n    exit 1\n}}\n"
    );
    text.push_str(&remove(replaced));
    for script in scripts.iter().filter(|script| script.phase == Phase::Pre) {
        let Some(path) = package::script_path(scripts, script) else { continue };
        let words: Vec<String> = script.interpreter.iter().chain([&path]).map(|word| quote(word)).collect();
        text.push_str(&format!("{} || fail {}\n", words.join(" "), quote(&script.name)));
    }
    text + "%end\n"
}

/// LVM finds groups by name, on whatever disk: before anything is removed, each must be where it is to be kept, whole and
/// alone.
fn remove(replaced: &[Replaced]) -> String {
    let mut text = if replaced.is_empty() { String::new() } else { ALONE.to_owned() };
    for Replaced { group, on, .. } in replaced {
        text.push_str(&format!("alone {} {}\n", quote(group), quote(&on.join(" "))));
    }
    for Replaced { group, volumes, .. } in replaced {
        for volume in volumes {
            let volume = quote(&format!("{group}/{volume}"));
            text.push_str(&format!(
                "if lvm lvs {volume} > /dev/null 2>&1; then lvm lvremove --yes {volume} || fail lvremove; fi\n"
            ));
        }
    }
    text
}

/// `%onerror`, and the `%post` that ends the install. It comes after every other one, and says itself what went wrong.
pub(super) fn end() -> String {
    format!(
        "%onerror\n{INSTALLER} report failed --script onerror\n%end\n\n\
         %post --nochroot --erroronfail\n\
         {INSTALLER} finish --root \"${{ANA_INSTALL_PATH:-/mnt/sysroot}}\"\n%end\n"
    )
}

/// The site's own text. Each piece must close its sections: an open one would swallow ours.
pub(super) fn extra(pieces: &[String], out: &mut Vec<Finding>) -> String {
    let mut text = String::new();
    for (i, piece) in pieces.iter().enumerate() {
        if let Some(section) = open_section(piece) {
            let message = format!("its section `{section}` has no `%end`");
            out.push(Finding::error(format!("package.extra[{i}]"), message));
        }
        text.push_str(piece);
        if !piece.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// Sections as pykickstart knows them: from a line that begins with `%`, but not with `%include` or `%ksappend`, to `%end`.
pub(super) fn open_section(text: &str) -> Option<&str> {
    let mut open = None;
    for line in text.lines() {
        match (open, line.split_whitespace().next()) {
            (Some(_), Some("%end")) => open = None,
            (None, Some(word)) if line.starts_with('%') && !["%include", "%ksappend"].contains(&word) => {
                open = Some(word);
            }
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_closed() {
        assert_eq!(open_section("%include /tmp/x\n%addon a b\nx\n%end\neula --agreed\n"), None);
        assert_eq!(open_section("%post\n%include x\n  %end\n"), None);
        assert_eq!(open_section("%post\necho %end\n"), Some("%post"));
        assert_eq!(open_section("%pre\n%end\n%post --log=/x\n"), Some("%post"));
    }
}
