//! Approval one by one: what is asked, and what an answer means.

use std::io::{BufRead as _, Write as _};
use std::net::Ipv4Addr;

use tokio::sync::mpsc;

use super::said::Candidate;
use crate::log;
use crate::names;
use crate::store::nodes::Node;

/// A question, and what was answered so far.
#[derive(Clone, Debug)]
pub struct Question {
    /// The machine.
    pub candidate: Candidate,
    /// The node that it would be.
    pub node: Node,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Approve,
    /// Whether it may take the node's place.
    Replace,
    Name,
    Address,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The machine becomes the node.
    Yes,
    /// It never does in this run.
    No,
    /// It is asked about again when it is heard again.
    Skip,
    /// All is over.
    Quit,
    /// It shall have this name. Whether it can is not known here.
    Name(String),
    /// And this address.
    Address(Ipv4Addr),
    /// Nothing: the question is put again, after these words.
    Again(String),
}

impl Question {
    /// Whether `candidate` becomes `node`.
    pub fn approve(candidate: Candidate, node: Node) -> Self {
        Self { candidate, node, step: Step::Approve }
    }

    /// Whether `candidate` takes the place of `node`.
    pub fn replace(candidate: Candidate, node: Node) -> Self {
        Self { candidate, node, step: Step::Replace }
    }

    /// Puts it.
    pub fn put(&self) {
        let (mac, name) = (&self.candidate.mac, &self.node.name);
        let address = self.node.address.map_or_else(|| "no address".into(), |address| address.to_string());
        let text = match self.step {
            Step::Approve => format!("add {mac} as {name} {address}? [y]es [n]o [e]dit [s]kip [q]uit: "),
            Step::Replace => {
                format!(
                    "put {mac} in the place of {name} (now {})? [y]es [n]o [s]kip [q]uit: ",
                    self.node.mac
                )
            }
            Step::Name => format!("name [{name}]: "),
            Step::Address => format!("address [{address}]: "),
        };
        // Nobody is left to ask if stderr is gone: then the end of stdin comes as well.
        let mut out = std::io::stderr().lock();
        let _ = write!(out, "{}", log::printable(&text))
            .and_then(|()| write!(out, " "))
            .and_then(|()| out.flush());
    }

    /// What `line` means. An empty one keeps what is proposed, but is no consent.
    pub fn answer(&mut self, line: &str) -> Answer {
        let line = line.trim();
        match (self.step, line) {
            (Step::Approve | Step::Replace, "y" | "yes") => Answer::Yes,
            (Step::Approve | Step::Replace, "n" | "no") => Answer::No,
            (Step::Approve | Step::Replace, "s" | "skip") => Answer::Skip,
            (Step::Approve | Step::Replace, line) if is_end(line) => Answer::Quit,
            (Step::Approve, "e" | "edit") => self.go_on(Step::Name),
            (Step::Approve | Step::Replace, _) => Answer::Again("say y, n, s or q".into()),
            (Step::Name, "") => self.go_on(Step::Address),
            (Step::Name, name) if names::is_name(name) => Answer::Name(name.to_owned()),
            (Step::Name, name) => Answer::Again(format!("`{name}` is no name for a node: {}", names::RULE)),
            (Step::Address, "") => self.go_on(Step::Approve),
            (Step::Address, text) => match text.parse() {
                Ok(address) => Answer::Address(address),
                Err(_) => Answer::Again(format!("`{text}` is no IPv4 address")),
            },
        }
    }

    /// The name or the address that was answered is right.
    pub fn accept(&mut self, answer: Answer) {
        match answer {
            Answer::Name(name) => (self.node.name, self.step) = (name, Step::Address),
            Answer::Address(address) => (self.node.address, self.step) = (Some(address), Step::Approve),
            _ => {}
        }
    }

    fn go_on(&mut self, step: Step) -> Answer {
        self.step = step;
        Answer::Again(String::new())
    }
}

/// Whether a line ends it all, asked or not.
pub fn is_end(line: &str) -> bool {
    ["q", "quit"].contains(&line.trim())
}

/// Lines of stdin; the channel's end is stdin's. A thread of its own, which the process does not wait for at its end: a
/// read of a terminal cannot be ended.
pub fn answers() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    #[test]
    fn a_name_and_an_address_can_be_edited() {
        let mac: crate::addresses::Mac = "52:54:00:00:00:01".parse().unwrap();
        let candidate = Candidate {
            mac: mac.clone(),
            uuid: None,
            network: "prov".into(),
            relayed: false,
            boots: true,
            about: String::new(),
        };
        let node = Node {
            id: 0,
            name: "n1".into(),
            group: "g".into(),
            network: "prov".into(),
            mac,
            address: None,
            uid: None,
            machine: None,
            overrides: String::new(),
            state: State::Unknown,
            since: 0,
            seen_at: None,
        };
        let mut question = Question::approve(candidate, node);
        assert!(matches!(question.answer(""), Answer::Again(_)), "silence is no consent");
        assert_eq!(question.answer("e"), Answer::Again(String::new()));
        assert!(matches!(question.answer("../x"), Answer::Again(_)));
        let answer = question.answer(" n7 ");
        question.accept(answer);
        assert!(matches!(question.answer("10.1.0"), Answer::Again(_)));
        let answer = question.answer("10.1.0.7");
        question.accept(answer);
        assert_eq!(question.answer("y"), Answer::Yes);
        assert_eq!(
            (question.node.name.as_str(), question.node.address),
            ("n7", Some(Ipv4Addr::new(10, 1, 0, 7)))
        );
    }
}
