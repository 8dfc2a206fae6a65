//! `cargo xtask bench`: ours against what the field uses, on the same input, in turns.

mod head;
mod initrd;
mod unpack;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{build, setup};

/// How many times each side runs.
const PAIRS: usize = 5;

/// Runs both sides; rows of a table with its heading.
type Comparison = fn() -> Result<Vec<String>>;

/// What is compared.
const COMPARISONS: [(&str, Comparison); 3] =
    [("initrd", initrd::run), ("unpack", unpack::run), ("head", head::run)];

/// Runs the comparisons whose names contain `filter`, and prints their tables.
pub fn run(filter: &str) -> Result<()> {
    setup::run()?;
    build::run()?;
    for (_, comparison) in COMPARISONS.iter().filter(|(name, _)| name.contains(filter)) {
        comparison()?.iter().for_each(|row| println!("{row}"));
    }
    Ok(())
}

fn heading() -> String {
    format!("\n{:<34}{:>12}{:>12}   ours/peer: min  median  max", "", "ours", "peer")
}

/// Both sides' figures of one comparison.
struct Pairs {
    ours: Vec<f64>,
    peer: Vec<f64>,
}

impl Pairs {
    /// Times both in turns, [`PAIRS`] times: whatever else the machine does then hits both.
    fn timed(mut ours: impl FnMut() -> Result<()>, mut peer: impl FnMut() -> Result<()>) -> Result<Self> {
        let mut pairs = Self { ours: Vec::new(), peer: Vec::new() };
        for round in 1..=PAIRS {
            println!("  pair {round} of {PAIRS}");
            pairs.ours.push(timed(&mut ours)?.as_secs_f64());
            pairs.peer.push(timed(&mut peer)?.as_secs_f64());
        }
        Ok(pairs)
    }

    /// A row of the table.
    fn row(&self, what: &str, unit: &str) -> String {
        let ratios = sorted(self.ours.iter().zip(&self.peer).map(|(ours, peer)| ours / peer));
        format!(
            "{what:<34}{:>12}{:>12}{:>18.3}{:>8.3}{:>6.3}",
            format!("{:.2} {unit}", median(&self.ours)),
            format!("{:.2} {unit}", median(&self.peer)),
            ratios.first().unwrap_or(&f64::NAN),
            median(&ratios),
            ratios.last().unwrap_or(&f64::NAN),
        )
    }
}

fn timed(run: &mut impl FnMut() -> Result<()>) -> Result<Duration> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed())
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: &[f64]) -> f64 {
    let values = sorted(values.iter().copied());
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::Pairs;

    #[test]
    fn ratios_are_of_pairs() {
        let row = Pairs { ours: vec![1.0, 2.0, 9.0], peer: vec![2.0, 2.0, 3.0] }.row("x", "s");
        let ends: Vec<&str> = row.split_whitespace().rev().take(3).collect();
        assert_eq!(ends, ["3.000", "1.000", "0.500"], "{row}");
    }
}
