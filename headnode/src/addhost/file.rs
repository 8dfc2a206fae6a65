//! Files that sites bring along: machines as `MAC,[ip],[host],[uid]`, hosts as `host:ip`, one a line. Empty lines and what
//! follows a `#` mean nothing. Pure.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::addresses::Mac;
use crate::names;

/// A machine that is to be a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Where it stands in the file.
    pub line: usize,
    /// Its MAC address.
    pub mac: Mac,
    /// Its address, or one is found for it.
    pub address: Option<Ipv4Addr>,
    /// Its name, or one is found for it.
    pub name: Option<String>,
    /// Its id in the site's own inventory.
    pub uid: Option<String>,
}

/// Reads a file of machines.
///
/// # Errors
/// All lines that are wrong, and why.
pub fn machines(file: &str, text: &str) -> Result<Vec<Machine>> {
    each(file, text, |line, words| {
        let mut fields = words.split(',').map(str::trim);
        let mac = fields.next().unwrap_or_default().parse()?;
        let mut next = || fields.next().filter(|field| !field.is_empty());
        let (address, name, uid) = (next(), next(), next());
        ensure!(fields.next().is_none(), "there is more than MAC,ip,host,uid");
        let (address, name) = (address.map(ip).transpose()?, name.map(self::name).transpose()?);
        Ok(Machine { line, mac, address, name, uid: uid.map(str::to_owned) })
    })
}

/// Reads a file of hosts: their names and addresses.
///
/// # Errors
/// All lines that are wrong, and why.
pub fn hosts(file: &str, text: &str) -> Result<Vec<(String, Ipv4Addr)>> {
    each(file, text, |_, words| {
        let (host, address) = words.split_once(':').context("it is not host:ip")?;
        Ok((name(host.trim())?, ip(address.trim())?))
    })
}

fn each<T>(file: &str, text: &str, read: impl Fn(usize, &str) -> Result<T>) -> Result<Vec<T>> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let words = line.split('#').next().unwrap_or_default().trim();
        match (words, read(number, words)) {
            ("", _) => {}
            (_, Ok(thing)) => found.push(thing),
            (_, Err(error)) => wrong.push(format!("{file}:{number}: {error:#}")),
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(found)
}

fn ip(text: &str) -> Result<Ipv4Addr> {
    text.parse().with_context(|| format!("reading `{text}` as an IPv4 address"))
}

fn name(text: &str) -> Result<String> {
    ensure!(names::is_name(text), "`{text}` is no name: {}", names::RULE);
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_one_to_four_fields() {
        let text = "# rack 1\n52:54:00:00:00:01\n\n525400000002, 10.1.0.9 ,n2,asset 7 # new\n52:54:00:00:00:03,,n3\r\n";
        let machines = machines("x", text).unwrap();
        let lines: Vec<String> = machines
            .iter()
            .map(|machine| {
                let Machine { line, mac, address, name, uid } = machine;
                format!("{line} {mac} {address:?} {name:?} {uid:?}")
            })
            .collect();
        assert_eq!(
            lines,
            [
                "2 52:54:00:00:00:01 None None None",
                "4 52:54:00:00:00:02 Some(10.1.0.9) Some(\"n2\") Some(\"asset 7\")",
                "5 52:54:00:00:00:03 None Some(\"n3\") None",
            ]
        );
    }

    #[test]
    fn all_wrong_lines_are_named() {
        let error =
            machines("macs", "52:54\n52:54:00:00:00:01,x\n52:54:00:00:00:01,,../n\n1,2,3,4,5\n").unwrap_err();
        let error = error.to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        assert!(lines[1].starts_with("macs:2: reading `x` as an IPv4 address"), "{error}");
        assert!(lines[2].starts_with("macs:3: `../n` is no name"), "{error}");
    }

    #[test]
    fn hosts_have_a_colon() {
        assert_eq!(hosts("x", "sw1:10.1.0.5\n").unwrap(), [("sw1".to_owned(), Ipv4Addr::new(10, 1, 0, 5))]);
        assert_eq!(hosts("x", "sw1 10.1.0.5\n").unwrap_err().to_string(), "x:1: it is not host:ip");
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read_or_refused(text in ".{0,200}") {
            let _ = machines("x", &text);
            let _ = hosts("x", &text);
        }
    }
}
