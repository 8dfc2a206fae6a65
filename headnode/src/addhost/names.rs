//! Names by a group's format, such as `compute-#RR-#NN`: `#R…` is the rack, `#N…` the rank in it, each with as many digits
//! as it has letters. Pure.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};

use crate::names;

/// Digits of a rack or a rank at most: what a `u32` holds of any value.
const WIDTH_MAX: usize = 9;

/// A format of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Rack(usize),
    Rank(usize),
}

/// A name, and the rank in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The rank.
    pub rank: u32,
    /// The name.
    pub name: String,
}

impl Format {
    /// What a group's nodes are called unless its document says otherwise.
    ///
    /// # Errors
    /// When the group's name leaves no room for a number.
    pub fn of_group(group: &str) -> Result<Self> {
        format!("{group}-#RR-#NN").parse()
    }

    /// Whether it says the rack.
    pub fn has_rack(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Rack(_)))
    }

    /// The name of a rank; `None` if the rack or the rank has too many digits.
    fn name(&self, rack: u32, rank: u32) -> Option<String> {
        let mut name = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Rack(width) => name.push_str(&padded(rack, *width)?),
                Piece::Rank(width) => name.push_str(&padded(rank, *width)?),
            }
        }
        Some(name)
    }

    /// The lowest rank of a rack, not below `from`, whose name nobody has.
    ///
    /// # Errors
    /// When there is none with as many digits as the format has.
    pub fn free(&self, rack: u32, from: u32, taken: &Taken) -> Result<Ranked> {
        ensure!(self.name(rack, 0).is_some(), "the rack {rack} has more digits than {self}");
        for rank in from.. {
            match self.name(rack, rank) {
                Some(name) if taken.has(&name) => {}
                Some(name) => return Ok(Ranked { rank, name }),
                None => break,
            }
        }
        let (of, above) = match (self.has_rack(), from) {
            (true, 0) => (format!(" of rack {rack}"), String::new()),
            (true, _) => (format!(" of rack {rack}"), format!(" from {from} on")),
            (false, 0) => (String::new(), String::new()),
            (false, _) => (String::new(), format!(" from {from} on")),
        };
        bail!(
            "all ranks{of}{above} are taken: give {self} more digits (addhost.names in the group's document)"
        )
    }
}

fn padded(number: u32, width: usize) -> Option<String> {
    let text = format!("{number:0width$}");
    (text.len() == width).then_some(text)
}

impl FromStr for Format {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('#') {
            if start > 0 {
                pieces.push(Piece::Text(rest[..start].to_owned()));
            }
            rest = &rest[start + 1..];
            let letter = rest.chars().next().unwrap_or_default();
            let width = rest.len() - rest.trim_start_matches(letter).len();
            ensure!(
                "RN".contains(letter) && (1..=WIDTH_MAX).contains(&width),
                "`{text}` is no format of names: `#` is followed by 1 to {WIDTH_MAX} R (the rack) or N (the rank), \
                 as in compute-#RR-#NN"
            );
            pieces.push(if letter == 'R' { Piece::Rack(width) } else { Piece::Rank(width) });
            rest = &rest[width..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let format = Self { pieces };
        let ranks = format.pieces.iter().filter(|piece| matches!(piece, Piece::Rank(_))).count();
        let racks = format.pieces.iter().filter(|piece| matches!(piece, Piece::Rack(_))).count();
        ensure!(
            ranks == 1 && racks <= 1,
            "`{text}` needs one #N, and may have one #R, as in compute-#RR-#NN"
        );
        let sample = format.name(0, 0).unwrap_or_default();
        ensure!(names::is_name(&sample), "`{text}` makes no names such as `{sample}`: {}", names::RULE);
        Ok(format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Rack(width) => write!(f, "#{}", "R".repeat(*width))?,
                Piece::Rank(width) => write!(f, "#{}", "N".repeat(*width))?,
            }
        }
        Ok(())
    }
}

/// Names that somebody has. A node's host name is its name up to the first dot, in lower case for all that DNS knows: two
/// that differ in the rest only are the same.
#[derive(Clone, Debug, Default)]
pub struct Taken(HashSet<String>);

impl Taken {
    /// Takes a name.
    pub fn take(&mut self, name: &str) {
        self.0.insert(host_name(name));
    }

    /// Whether somebody has it.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&host_name(name))
    }
}

impl<T: AsRef<str>> FromIterator<T> for Taken {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        Self(names.into_iter().map(|name| host_name(name.as_ref())).collect())
    }
}

fn host_name(name: &str) -> String {
    name.split('.').next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn format(text: &str) -> Format {
        text.parse().unwrap()
    }

    #[test]
    fn letters_are_digits() {
        for (text, rack, rank, name) in [
            ("compute-#RR-#NN", 3, 7, "compute-03-07"),
            ("n#NNN", 9, 12, "n012"),
            ("r#Rn#NNNN.cluster", 4, 12, "r4n0012.cluster"),
        ] {
            assert_eq!(format(text).name(rack, rank).as_deref(), Some(name));
            assert_eq!(format(text).to_string(), text);
        }
        assert_eq!(format("r#Rn#N").name(10, 0), None);
        assert_eq!(format("r#Rn#N").name(0, 10), None);
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for text in [
            "",
            "compute",
            "c#",
            "c#X",
            "c#NN#NN",
            "c#RR",
            "c#RR#R#N",
            "-#NN",
            "a b#NN",
            "c/#NN",
            "ä#N",
            "#NNNNNNNNNN",
        ] {
            assert!(text.parse::<Format>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_full_rack_is_refused() {
        let taken: Taken = (0..10).map(|rank| format!("c{rank}")).collect();
        let refusal = format("c#N").free(0, 0, &taken).unwrap_err().to_string();
        assert!(refusal.starts_with("all ranks are taken: give c#N more digits"), "{refusal}");
        let refusal = format("c-#R-#N").free(10, 0, &taken).unwrap_err().to_string();
        assert_eq!(refusal, "the rack 10 has more digits than c-#R-#N");
        let taken: Taken = ["c7.example", "C8"].into_iter().collect();
        assert_eq!(format("c#N").free(0, 7, &taken).unwrap().name, "c9");
    }

    proptest! {
        #[test]
        fn any_format_is_read_or_refused(text in ".{0,40}") {
            if let Ok(format) = text.parse::<Format>() {
                prop_assert_eq!(format.to_string(), text);
            }
        }

        /// As long as there is a rank it is the lowest, and nobody else's; at the end there is none.
        #[test]
        fn names_are_unique_and_lowest(
            before in prop::collection::hash_set(0u32..100, 0..60),
            rack in 0u32..100,
            from in 0u32..100,
        ) {
            let format = format("compute-#RR-#NN");
            let mut taken: Taken = before.iter().map(|rank| format.name(rack, *rank).unwrap()).collect();
            let free: Vec<u32> = (from..100).filter(|rank| !before.contains(rank)).collect();
            for expected in free {
                let Ranked { rank, name } = format.free(rack, from, &taken).unwrap();
                prop_assert_eq!(rank, expected);
                prop_assert_eq!(&name, &format!("compute-{rack:02}-{rank:02}"));
                prop_assert!(!taken.has(&name));
                taken.take(&name);
            }
            prop_assert!(format.free(rack, from, &taken).is_err());
        }
    }
}
