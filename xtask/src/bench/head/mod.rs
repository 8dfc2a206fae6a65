//! The head node with 5,000 nodes in its store: what admins and nodes ask most, and the memory of a server under load.
//!
//! Each time is a whole process, or a whole HTTP request as curl measures it. Beside a command stands what `sqlite3` takes
//! to print the same rows, beside a request what `/healthz` takes: the floor of any program over this store, or of this
//! server.

mod load;
mod site;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::net::Net;
use harness::paths;
use harness::run::{cmd, output};

use self::site::Site;
use super::{sorted, timed};

const ROUNDS: usize = 21;
/// What each may take, in milliseconds.
const LIMIT: f64 = 50.0;

/// A command of `headnode`, and the rows that it shows.
const COMMANDS: &[(&str, &str)] = &[
    ("node list", "SELECT name, group_name, network, mac, address, state FROM nodes ORDER BY name"),
    (
        "status",
        "SELECT nodes.name, group_name, address, state, since, armings.tries, report FROM nodes
         LEFT JOIN armings ON node = nodes.id AND armings.ended_at IS NULL
         LEFT JOIN attempts ON arming = armings.id AND attempts.ended_at IS NULL ORDER BY nodes.name",
    ),
    ("node list @g1,!n[0000-3999]", "SELECT * FROM nodes WHERE group_name = 'g1' AND name > 'n3999'"),
    ("events n2000", "SELECT * FROM events WHERE node = 2001 ORDER BY id DESC LIMIT 200"),
    ("nii n2000", ONE),
    ("boot show n2000", ONE),
    ("boot show n4000", ONE),
];

const ONE: &str =
    "SELECT * FROM nodes JOIN groups ON groups.name = nodes.group_name WHERE nodes.name = 'n2000'";

/// Times of commands and requests, and the server's memory.
pub fn run() -> Result<Vec<String>> {
    println!("headnode: {} nodes, {} events", site::NODES, site::EVENTS);
    let folder = tempfile::tempdir().context("making a folder")?;
    let net = Net::new()?;
    let site = Site::new(&net, folder.path(), paths::program("headnode")?)?;
    let mut rows = vec![heading()];
    for (command, select) in COMMANDS {
        rows.push(commands(&site, command, select)?);
    }
    rows.extend(load::run(&site)?);
    Ok(rows)
}

fn commands(site: &Site<'_>, command: &str, select: &str) -> Result<String> {
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(ms(timed(&mut || site.cli(command.split(' ')).map(drop))?));
        floor.push(ms(timed(&mut || sqlite(&site.database(), select))?));
    }
    Ok(row(&format!("headnode {command}"), &ours, &floor))
}

/// Runs SQL on a database, by another program than ours.
fn sqlite(database: &Path, sql: &str) -> Result<()> {
    output(cmd("sqlite3", ["-batch"]).arg(database).arg(sql)).map(drop)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn heading() -> String {
    format!("\n{:<40}{:>9}{:>9}{:>9}{:>12}{:>9}", "milliseconds", "min", "median", "max", "floor", "ratio")
}

/// Our times, the floor's median, and the ratio of the medians.
fn row(what: &str, ours: &[f64], floor: &[f64]) -> String {
    let (ours, floor) = (sorted(ours.iter().copied()), sorted(floor.iter().copied()));
    let at = |values: &[f64], index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let (median, base) = (at(&ours, ours.len() / 2), at(&floor, floor.len() / 2));
    let (min, max) = (at(&ours, 0), at(&ours, ours.len().saturating_sub(1)));
    let verdict = if median < LIMIT { "" } else { "  over the limit" };
    format!("{what:<40}{min:>9.1}{median:>9.1}{max:>9.1}{base:>12.1}{:>9.1}{verdict}", median / base)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_row_says_what_is_too_slow() {
        let row = super::row("x", &[60.0, 51.0, 90.0], &[20.0]);
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words, ["x", "51.0", "60.0", "90.0", "20.0", "3.0", "over", "the", "limit"]);
    }
}
