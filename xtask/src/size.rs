//! `cargo xtask size`: programs and initrds against `size-budget.txt`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use harness::head::prepared;
use harness::paths;

use crate::build;

const BUDGET: &str = "xtask/size-budget.txt";

/// Prints every size with its budget; fails when one is over.
pub fn run() -> Result<()> {
    let text =
        fs::read_to_string(paths::workspace().join(BUDGET)).with_context(|| format!("reading {BUDGET}"))?;
    let budget = parse(&text)?;
    for name in build::PROGRAMS {
        ensure!(budget.iter().any(|(budgeted, _)| budgeted == name), "{BUDGET} has no line for {name}");
    }
    let mut over = Vec::new();
    for (name, limit) in &budget {
        let path = if name == "initrd.img" { prepared()?.initrd } else { paths::program(name)? };
        let bytes = fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?.len();
        println!("{bytes:>10} of {limit:>10} bytes ({:>3} %)  {name}", bytes * 100 / limit);
        if bytes > *limit {
            over.push(name.as_str());
        }
    }
    ensure!(over.is_empty(), "over the budget of {BUDGET}: {}", over.join(", "));
    Ok(())
}

/// Lines of `NAME BYTES`; `#` starts a comment.
fn parse(text: &str) -> Result<Vec<(String, u64)>> {
    let mut budget = Vec::new();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if line.is_empty() {
            continue;
        }
        let (name, bytes) =
            line.split_once(char::is_whitespace).with_context(|| format!("reading {line:?}"))?;
        let bytes = bytes.trim().parse().with_context(|| format!("reading {line:?}"))?;
        budget.push((name.to_owned(), bytes));
    }
    Ok(budget)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_budget_is_names_and_bytes() {
        assert_eq!(parse("# all\nimageinit 12 # x\n\n").unwrap(), [("imageinit".to_owned(), 12)]);
        assert!(parse("imageinit").is_err());
        assert!(parse("imageinit many").is_err());
    }
}
