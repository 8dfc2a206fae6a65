//! Changes of text: what will be different is shown before it is, and an editor is asked for more.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use similar::TextDiff;

use super::Context;
use crate::{document, log, ranges};

/// Lines around a difference.
const AROUND: usize = 2;

/// A thing's text before and after.
pub(super) struct Change {
    /// What the thing is called.
    pub name: String,
    /// Before.
    pub old: String,
    /// After.
    pub new: String,
}

impl Context {
    /// Shows the changes, and on a terminal asks whether they are wanted. False: there are none.
    ///
    /// # Errors
    /// When they are not wanted.
    pub(super) fn agree(&self, changes: &[Change]) -> Result<bool> {
        let changes: Vec<&Change> = changes.iter().filter(|change| change.old != change.new).collect();
        if changes.is_empty() {
            log::line(format_args!("nothing changes"));
            return Ok(false);
        }
        // Things that change in the same way are shown once.
        let mut diffs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for change in changes {
            diffs.entry(diff(&change.old, &change.new)?).or_default().push(&change.name);
        }
        let show = |(diff, names): (&String, &Vec<&str>)| {
            format!("{}:\n{diff}", ranges::fold(names.iter().copied()))
        };
        let shown: String = diffs.iter().map(show).collect();
        self.confirm(&shown, "Apply?")?;
        Ok(true)
    }

    /// Shows what is about to happen, and on a terminal asks whether it shall.
    ///
    /// # Errors
    /// When it shall not.
    pub(super) fn confirm(&self, shown: &str, question: &str) -> Result<()> {
        eprint!("{}", printable(shown));
        if self.yes || !is_interactive() || ask(question, false)? {
            return Ok(());
        }
        bail!("nothing was changed")
    }

    /// The text as an editor leaves it, once `check` takes it.
    ///
    /// # Errors
    /// When there is no editor, or it leaves a text that is refused and nobody is there to mend it.
    pub(super) fn edit(&self, text: &str, mut check: impl FnMut(&str) -> Result<()>) -> Result<String> {
        // In the data folder, which is shut to others: the text may have secrets.
        let file = tempfile::Builder::new().prefix("edit-").suffix(".toml").tempfile_in(self.dir.run(""))?;
        fs::write(file.path(), text).with_context(|| format!("writing {}", file.path().display()))?;
        loop {
            run_editor(file.path())?;
            let edited = fs::read_to_string(file.path())
                .with_context(|| format!("reading {}", file.path().display()))?;
            let Err(error) = check(&edited) else { return Ok(edited) };
            if !is_interactive() {
                return Err(error);
            }
            log::line(format_args!("{error:#}"));
            ensure!(ask("Edit again?", true)?, "nothing was changed");
        }
    }
}

/// `$VISUAL` or `$EDITOR` may be a program with arguments: the shell knows.
fn run_editor(file: &std::path::Path) -> Result<()> {
    let wanted = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok());
    let editor = wanted.filter(|editor| !editor.trim().is_empty()).unwrap_or_else(|| "vi".into());
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file)
        .status()
        .with_context(|| format!("running the editor `{editor}`"))?;
    ensure!(status.success(), "the editor `{editor}` failed ({status}): nothing was changed");
    Ok(())
}

fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn ask(question: &str, default: bool) -> Result<bool> {
    eprint!("{question} [{}] ", if default { "Y/n" } else { "y/N" });
    io::stderr().flush().context("asking")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("reading the answer")?;
    Ok(match answer.trim().to_lowercase().as_str() {
        "" => default && answer.ends_with('\n'),
        answer => ["y", "yes"].contains(&answer),
    })
}

/// The lines that differ, secrets hidden.
fn diff(old: &str, new: &str) -> Result<String> {
    let (old, new) = (document::hide_secrets(old)?, document::hide_secrets(new)?);
    Ok(lines(&old, &new))
}

/// The lines that differ, in texts that hide their secrets.
pub(super) fn lines(old: &str, new: &str) -> String {
    if old == new {
        return "  a secret changes\n".into();
    }
    let diff = TextDiff::from_lines(old, new);
    let hunks = diff.unified_diff().context_radius(AROUND).missing_newline_hint(false).to_string();
    hunks.lines().map(|line| format!("  {line}\n")).collect()
}

/// The text for a terminal, with its lines as they are.
pub(super) fn printable(text: &str) -> String {
    text.lines().map(|line| log::printable(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn differences_are_shown_without_secrets() {
        let old = "a = 1\nb = 2\n\n[root]\npassword_hash = \"$6$old\"\n";
        let diff = |new: &str| super::diff(old, new).unwrap();
        assert_eq!(diff(&old.replace("$6$old", "$6$new")), "  a secret changes\n");
        let shown = diff(&old.replace("b = 2", "b = 3").replace("$6$old", "$6$new"));
        assert!(shown.contains("  -b = 2\n  +b = 3\n") && !shown.contains("$6$"), "{shown}");
    }
}
