//! Logs that nodes send.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{Receiver, channel};

use reqwest::blocking::Body;

use crate::head::{Head, Machine};

fn installing() -> (Head, Machine) {
    let mut head = Head::new();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    (head, machine)
}

#[test]
fn logs_are_kept_by_attempt() {
    let (head, machine) = installing();
    assert_eq!(machine.send_log("?name=anaconda.log", "first\n"), 204);
    assert_eq!(machine.send_log("?name=anaconda.log", "first, in full\n"), 204);
    assert_eq!(machine.send_log("?name=program.log", "only here\n"), 204);
    let mut second = Machine::new(&head);
    second.begin(&head);
    assert_eq!(machine.send_log("?name=late.log", "x"), 401, "its attempt has ended");
    assert_eq!(second.send_log("?name=anaconda.log", "second\n"), 204);
    let listed = head.json(&["logs", "n1"]);
    let listed: Vec<(u64, &str, u64)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|log| {
            (log["number"].as_u64().unwrap(), log["name"].as_str().unwrap(), log["size"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(listed, [(1, "anaconda.log", 15), (1, "program.log", 10), (2, "anaconda.log", 7)]);
    assert_eq!(head.ok(&["logs", "n1", "anaconda.log"]), "second\n", "the last");
    assert_eq!(head.ok(&["logs", "n1", "--attempt", "1", "anaconda.log"]), "first, in full\n");
    assert_eq!(head.ok(&["logs", "n1", "program.log"]), "only here\n", "the last that has it");
    assert_eq!(head.json(&["logs", "n1", "--attempt", "2"]).as_array().unwrap().len(), 1);
    assert_eq!(head.json(&["logs", "n1", "program.log"])["text"], "only here\n");
    let id = head.status("n1")["attempt"].as_str().unwrap().to_owned();
    assert_eq!(head.ok(&["logs", "n1", "anaconda.log", "--attempt", &id]), "second\n");
    assert!(head.refused(&["logs", "n1", "--attempt", "7"]).contains("n1 has no attempt 7"));
    assert!(head.refused(&["logs", "n1", "../../camphor.db"]).contains("has sent no log"));
    assert!(head.refused(&["logs", "n9"]).contains("there is no node `n9`"));
    let path = head.data().join("logs/n1").join(id).join("anaconda.log");
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    head.ok(&["node", "rm", "n1"]);
    assert_eq!(std::fs::read_dir(head.data().join("logs")).unwrap().count(), 0);
}

#[test]
fn logs_go_nowhere_else() {
    let (head, machine) = installing();
    let queries = [
        "",
        "?name=",
        "?name=.",
        "?name=..",
        "?name=../x",
        "?name=..%2f..%2fkeys%2fca.key",
        "?name=%2ftmp%2fx",
        "?name=a%00b",
        "?name=a%0ab",
        "?name=.hidden",
        "?name=-x",
        "?name=a%20b",
        "?name=%c3%a4",
    ];
    for query in queries {
        assert_eq!(machine.send_log(query, "x"), 400, "{query}");
    }
    assert_eq!(machine.send_log(&format!("?name={}", "a".repeat(65)), "x"), 400);
    assert_eq!(Machine::new(&head).send_log("?name=a.log", "x"), 401, "no session");
    assert_eq!(head.json(&["logs", "n1"]).as_array().unwrap().len(), 0);
}

/// A log of one byte that does not end while the channel's other side is there.
struct Endless {
    begun: bool,
    end: Receiver<()>,
}

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if std::mem::replace(&mut self.begun, true) {
            let _ = self.end.recv();
            return Ok(0);
        }
        buffer[0] = b'x';
        Ok(1)
    }
}

/// A thousand nodes that fail at once must not take the head node's memory.
#[test]
fn few_logs_are_received_at_once() {
    let (head, machine) = installing();
    let machine = &machine;
    std::thread::scope(|scope| {
        let send = |i: usize| {
            let (hold, end) = channel();
            let body = Body::new(Endless { begun: false, end });
            (hold, scope.spawn(move || machine.send_log(&format!("?name={i}.log"), body)))
        };
        let (holds, slow): (Vec<_>, Vec<_>) = (0..8).map(send).unzip();
        // The slow ones are on their way, and may be overtaken; then this is their turn's end.
        crate::head::wait_for("logs that take all the room", || {
            machine.send_log("?name=more.log", "x") == 503
        });
        drop(holds);
        assert!(slow.into_iter().all(|slow| slow.join().unwrap() == 204));
        assert_eq!(machine.send_log("?name=more.log", "x"), 204);
    });
    assert_eq!(head.json(&["logs", "n1"]).as_array().unwrap().len(), 9);
}

#[test]
fn logs_have_limits() {
    let (head, machine) = installing();
    assert_eq!(machine.send_log("?name=big.log", vec![b'x'; 8 << 20]), 204);
    assert_eq!(machine.send_log("?name=bigger.log", vec![b'x'; (8 << 20) + 1]), 400);
    for i in 1..32 {
        assert_eq!(machine.send_log(&format!("?name={i}.log"), b"\xff\x1b[2J".to_vec()), 204);
    }
    assert_eq!(machine.send_log("?name=one-more.log", "x"), 400);
    assert_eq!(machine.send_log("?name=7.log", "again"), 204);
    let output = head.run(&["logs", "n1", "8.log"]);
    assert_eq!(output.stdout, b"\xff\x1b[2J", "as it is, where no terminal is commanded");
}
