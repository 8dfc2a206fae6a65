//! How several nodes are named at once, and how a list of names is written short. Pure.
//!
//! A word is a list of terms with commas between them: a name with ranges in brackets (`compute-00-[01-32]`,
//! `n[1,3,5-7]`), `@GROUP`, `@state:STATE`, or `@all`. A term after a `!` takes its nodes out again, wherever it is.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::state::State;

/// How many names words may have: more is a slip of the finger.
const NAMES_MAX: usize = 65_536;
/// Digits of a number: it fits into 64 bits.
const DIGITS_MAX: usize = 18;

/// Where a word is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{word}`, character {at}: {what}")]
pub struct RangeError {
    word: String,
    /// From 1.
    at: usize,
    what: String,
}

/// What a term names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// Every node.
    All,
    /// The nodes of a group.
    Group(String),
    /// The nodes in a state.
    State(State),
    /// These nodes.
    Names(Vec<String>),
}

/// What words name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// What is in it.
    pub with: Vec<Term>,
    /// What is not, though it is in `with`.
    pub without: Vec<Term>,
}

impl Selection {
    /// Reads words.
    ///
    /// # Errors
    /// At the first character that is wrong.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, RangeError> {
        let (mut selection, mut named) = (Self::default(), 0);
        for word in words {
            let word = Word { word };
            for (at, text) in word.terms()? {
                let (term, list) = match text.strip_prefix('!') {
                    Some(rest) => (word.term(at + 1, rest)?, &mut selection.without),
                    None => (word.term(at, text)?, &mut selection.with),
                };
                named += if let Term::Names(names) = &term { names.len() } else { 0 };
                if named > NAMES_MAX {
                    return Err(word.wrong(at, format!("more than {NAMES_MAX} names")));
                }
                list.push(term);
            }
            if selection.with.is_empty() {
                let what = "there is nothing yet to take nodes out of: begin with `@all`";
                return Err(word.wrong(0, what));
            }
        }
        Ok(selection)
    }
}

/// A word, for messages. Positions are bytes from 0.
#[derive(Clone, Copy)]
struct Word<'a> {
    word: &'a str,
}

/// A piece of a name: text as it stands, or numbers.
enum Piece<'a> {
    Text(&'a str),
    Numbers(Vec<String>),
}

impl<'a> Word<'a> {
    fn wrong(self, at: usize, what: impl Into<String>) -> RangeError {
        let at = self.word.get(..at).map_or(0, |before| before.chars().count()) + 1;
        RangeError { word: self.word.to_owned(), at, what: what.into() }
    }

    /// Cuts at the commas that are not in brackets.
    fn terms(self) -> Result<Vec<(usize, &'a str)>, RangeError> {
        let (mut terms, mut start, mut open) = (Vec::new(), 0, None);
        for (at, c) in self.word.char_indices() {
            match (c, open) {
                ('[', None) => open = Some(at),
                ('[', Some(_)) => return Err(self.wrong(at, "a `[` within brackets")),
                (']', Some(_)) => open = None,
                (']', None) => return Err(self.wrong(at, "no `[` is before this `]`")),
                (',', None) => {
                    terms.push((start, &self.word[start..at]));
                    start = at + 1;
                }
                _ => {}
            }
        }
        if let Some(at) = open {
            return Err(self.wrong(at, "this `[` is never closed"));
        }
        terms.push((start, &self.word[start..]));
        match terms.iter().find(|(_, text)| text.trim_start_matches('!').is_empty()) {
            Some((at, _)) => Err(self.wrong(*at, "a name is missing")),
            None => Ok(terms),
        }
    }

    fn term(self, at: usize, text: &str) -> Result<Term, RangeError> {
        let Some(tag) = text.strip_prefix('@') else { return self.names(at, text).map(Term::Names) };
        if let Some(state) = tag.strip_prefix("state:") {
            let wrong = || self.wrong(at + "@state:".len(), format!("`{state}` is no state of a node"));
            return state.parse().map(Term::State).map_err(|_| wrong());
        }
        match tag {
            "all" => Ok(Term::All),
            "" => Err(self.wrong(at + 1, "a group's name is missing")),
            group => Ok(Term::Group(group.to_owned())),
        }
    }

    /// Every name of a term, in the order in which it says them.
    fn names(self, at: usize, text: &str) -> Result<Vec<String>, RangeError> {
        let mut names = vec![String::new()];
        for piece in self.pieces(at, text)? {
            let numbers = match piece {
                Piece::Text(text) => {
                    names.iter_mut().for_each(|name| name.push_str(text));
                    continue;
                }
                Piece::Numbers(numbers) => numbers,
            };
            if names.len().saturating_mul(numbers.len()) > NAMES_MAX {
                return Err(self.wrong(at, format!("more than {NAMES_MAX} names")));
            }
            let with = |name: &String| numbers.iter().map(move |number| format!("{name}{number}")).collect();
            names = names.iter().flat_map::<Vec<String>, _>(with).collect();
        }
        Ok(names)
    }

    fn pieces<'t>(self, mut at: usize, text: &'t str) -> Result<Vec<Piece<'t>>, RangeError> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, list)) = rest.split_once('[') {
            pieces.push(Piece::Text(before));
            at += before.len() + 1;
            // `terms` has seen that brackets come in pairs.
            let (list, after) = list.split_once(']').unwrap_or((list, ""));
            let mut numbers = Vec::new();
            for range in list.split(',') {
                self.range(at, range, &mut numbers)?;
                if numbers.len() > NAMES_MAX {
                    return Err(self.wrong(at, format!("more than {NAMES_MAX} names")));
                }
                at += range.len() + 1;
            }
            pieces.push(Piece::Numbers(numbers));
            rest = after;
        }
        pieces.push(Piece::Text(rest));
        Ok(pieces)
    }

    /// `7`, `1-32`, `01-32`: the first number says how many digits all have at least.
    fn range(self, at: usize, text: &str, out: &mut Vec<String>) -> Result<(), RangeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let begin = self.number(at, first)?;
        let behind = at + text.len() - last.len();
        let end = self.number(behind, last)?;
        if end < begin {
            return Err(self.wrong(at, "this range ends before it begins"));
        }
        let padded = last.len() > first.len() && last.starts_with('0');
        if last.len() < first.len() || padded {
            return Err(self.wrong(behind, "its end has other leading zeros than its begin"));
        }
        if end - begin >= NAMES_MAX as u64 {
            return Err(self.wrong(at, format!("more than {NAMES_MAX} names")));
        }
        let width = first.len();
        out.extend((begin..=end).map(|number| format!("{number:0width$}")));
        Ok(())
    }

    fn number(self, at: usize, text: &str) -> Result<u64, RangeError> {
        if let Some((before, c)) = text.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
            return Err(self.wrong(at + before, format!("`{c}` is no digit")));
        }
        match text.len() {
            0 => Err(self.wrong(at, "a number is missing")),
            1..=DIGITS_MAX => text.parse().map_err(|_| self.wrong(at, "this is no number")),
            _ => Err(self.wrong(at, format!("more than {DIGITS_MAX} digits"))),
        }
    }
}

/// Names as short as ranges make them. What may differ is a name's last number: `head,n[1-3,7]x`.
pub fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    // Names without a number are a stem of their own, without numbers.
    let mut stems: BTreeMap<(&str, Option<&str>), Vec<&str>> = BTreeMap::new();
    for name in names {
        match last_number(name) {
            Some((before, digits, after)) => stems.entry((before, Some(after))).or_default().push(digits),
            None => drop(stems.entry((name, None)).or_default()),
        }
    }
    let term = |((before, after), digits): ((&str, Option<&str>), Vec<&str>)| {
        let (list, after) = (ranges(digits), after.unwrap_or_default());
        let several = list.contains(['-', ',']);
        if several { format!("{before}[{list}]{after}") } else { format!("{before}{list}{after}") }
    };
    stems.into_iter().map(term).collect::<Vec<_>>().join(",")
}

/// A name's last number, and what is before and behind it.
fn last_number(name: &str) -> Option<(&str, &str, &str)> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name[..end].trim_end_matches(|c: char| c.is_ascii_digit()).len();
    (end - start <= DIGITS_MAX).then(|| (&name[..start], &name[start..end], &name[end..]))
}

fn ranges(digits: Vec<&str>) -> String {
    let mut numbers: Vec<(u64, usize, &str)> =
        digits.into_iter().filter_map(|text| Some((text.parse().ok()?, text.len(), text))).collect();
    numbers.sort_unstable();
    numbers.dedup();
    // A run goes on as long as its first number's width makes the next number.
    let mut runs: Vec<(usize, &str, &str, u64)> = Vec::new();
    for (number, len, text) in numbers {
        match runs.last_mut() {
            Some((width, _, last, before)) if format!("{:0width$}", *before + 1, width = *width) == text => {
                (*last, *before) = (text, number);
            }
            _ => runs.push((len, text, text, number)),
        }
    }
    let run = |(_, first, last, _): &(usize, &str, &str, u64)| {
        if first == last { (*first).to_owned() } else { format!("{first}-{last}") }
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn names(word: &str) -> Vec<String> {
        let selection = Selection::read([word]).unwrap();
        let of = |term: Term| if let Term::Names(names) = term { names } else { panic!("{term:?}") };
        selection.with.into_iter().flat_map(of).collect()
    }

    #[test]
    fn ranges_are_names() {
        for (word, expected) in [
            ("n1", "n1"),
            ("n[1,3,5-7]", "n1 n3 n5 n6 n7"),
            ("compute-00-[09-11]", "compute-00-09 compute-00-10 compute-00-11"),
            ("r[1-2]n[01-02]x", "r1n01x r1n02x r2n01x r2n02x"),
            ("n[9-11],m1", "n9 n10 n11 m1"),
            ("n[099-101]", "n099 n100 n101"),
        ] {
            assert_eq!(names(word).join(" "), expected, "{word}");
        }
    }

    #[test]
    fn groups_states_and_what_is_not() {
        let selection = Selection::read(["@compute,!n[1-2]", "@state:failed", "!@io", "@all"]).unwrap();
        assert_eq!(selection.with, [Term::Group("compute".into()), Term::State(State::Failed), Term::All]);
        let without = [Term::Names(vec!["n1".into(), "n2".into()]), Term::Group("io".into())];
        assert_eq!(selection.without, without);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (word, at, what) in [
            ("n[1-", 2, "never closed"),
            ("n1]", 3, "no `[` is before"),
            ("n[1[2]]", 4, "within brackets"),
            ("n[5-1]", 3, "ends before it begins"),
            ("n[1-x]", 5, "`x` is no digit"),
            ("n[1,,2]", 5, "a number is missing"),
            ("n[]", 3, "a number is missing"),
            ("n[1-032]", 5, "leading zeros"),
            ("n[001-10]", 7, "leading zeros"),
            ("n[0-99999999]", 3, "more than 65536"),
            ("n[0-999][0-999]", 1, "more than 65536"),
            ("n[0-65535,0]", 11, "more than 65536"),
            ("n[0-65535],m1", 12, "more than 65536"),
            ("n[1234567890123456789]", 3, "more than 18 digits"),
            ("a,,b", 3, "a name is missing"),
            ("", 1, "a name is missing"),
            ("a,!", 3, "a name is missing"),
            ("@", 2, "a group's name is missing"),
            ("ä@state:x,@state:gone", 18, "`gone` is no state"),
            ("!n1", 1, "begin with `@all`"),
        ] {
            let error = Selection::read([word]).unwrap_err();
            assert!(error.what.contains(what) && error.at == at, "{error}");
        }
        let said = Selection::read(["n[5-1]"]).unwrap_err().to_string();
        assert_eq!(said, "`n[5-1]`, character 3: this range ends before it begins");
    }

    #[test]
    fn names_are_folded() {
        for (names, expected) in [
            (&["n1"][..], "n1"),
            (&["n3", "n1", "n2", "n7"], "n[1-3,7]"),
            (&["n09", "n10", "n9"], "n[9,09-10]"),
            (&["n99", "n100"], "n[99-100]"),
            (
                &["head", "compute-00-01", "compute-00-02", "compute-01-01"],
                "compute-00-[01-02],compute-01-01,head",
            ),
            (&["n1x", "n2x", "n2x"], "n[1-2]x"),
            (&[], ""),
        ] {
            assert_eq!(fold(names.iter().copied()), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_folded_unfolds(set in proptest::collection::btree_set("[a-c]{0,2}[0-9]{0,3}[-.]?[0-9]{0,20}[xy]?", 1..60)) {
            let set: BTreeSet<String> = set.into_iter().filter(|name| !name.is_empty()).collect();
            prop_assume!(!set.is_empty());
            let folded = fold(set.iter().map(String::as_str));
            let back: Vec<String> = names(&folded);
            prop_assert_eq!(back.len(), set.len());
            prop_assert_eq!(back.into_iter().collect::<BTreeSet<_>>(), set);
        }

        #[test]
        fn any_text_is_read_or_refused(word in "[n@!,\\[\\]0-9äa:-]{0,24}|.{0,40}") {
            if let Err(error) = Selection::read([word.as_str()]) {
                prop_assert!(error.at <= word.chars().count() + 1, "{}", error);
            }
        }
    }
}
