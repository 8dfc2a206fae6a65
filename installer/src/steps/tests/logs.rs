//! Logs that leave the node.

use std::sync::{Arc, Mutex};

use host::net::errands::LOG_MAX;
use host::recorder::Recorder;

use super::{HEAD, Run, Shared, Start, facts, refused};
use crate::{logs, state};

#[test]
fn logs_are_left_without_secrets() {
    let mut run = Start::new().prepare();
    let folder = tempfile::tempdir().unwrap();
    let secret = "rootpw $6$salt$planted.password.hash\nplanted-private-key-material\nBearer planted-session\nlast line\n";
    for (name, text) in [("anaconda.log", secret), ("anaconda-tb-x y", "trace"), ("ks.cfg", "not a log")] {
        state::write(&folder.path().join(name), text.as_bytes(), 0o600).unwrap();
    }
    let sent: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let seen = Arc::clone(&sent);
    let recorder = Recorder::new(facts()).answering(format!("{HEAD}/api/v1/log"), move |request| {
        let text = String::from_utf8(request.body.clone().unwrap()).unwrap();
        seen.lock().unwrap().push((request.url.clone(), text));
        Ok(Vec::new())
    });
    run.ctx.machine = Box::new(recorder);
    logs::upload(&mut run.ctx, folder.path());
    let sent = sent.lock().unwrap();
    let names: Vec<&str> = sent.iter().map(|(url, _)| url.split_once("name=").unwrap().1).collect();
    assert_eq!(names, ["anaconda-tb-x_y", "anaconda.log"]);
    assert_eq!(sent[1].1, "rootpw (secret)\n(secret)\nBearer (secret)\nlast line\n");
    assert_eq!(logs::tail(&run.ctx, folder.path(), 1), ["last line"]);
}

/// A log that is cut begins with a whole line: half a secret would not be known for one.
#[test]
fn a_long_log_is_cut_between_lines() {
    let run = Start::new().prepare();
    let folder = tempfile::tempdir().unwrap();
    let secret = "root:$6$salt$planted.password.hash:1::::::\n";
    // The end that is kept begins within the first secret.
    let rest = LOG_MAX - secret.find("planted").map(|at| secret.len() - at).unwrap();
    let lines = rest / 100 - 1;
    let last = "y".repeat(rest - 100 * lines - secret.len() - 1);
    let text = format!("begin\n{secret}{}{last}\n{secret}", ("x".repeat(99) + "\n").repeat(lines));
    assert!(text[text.len() - LOG_MAX..].starts_with("planted"));
    state::write(&folder.path().join("anaconda.log"), text.as_bytes(), 0o600).unwrap();
    let log = logs::tail(&run.ctx, folder.path(), usize::MAX).join("\n");
    assert!(!log.contains("planted"), "{}", &log[..200]);
    assert!(log.starts_with("xxx") && log.ends_with("root:(secret):1::::::"), "{}", &log[log.len() - 50..]);
}

#[test]
fn a_head_node_that_does_not_answer_is_asked_for_one_log_only() {
    let mut run = Start::new().prepare();
    let folder = tempfile::tempdir().unwrap();
    for name in ["anaconda.log", "program.log", "storage.log"] {
        state::write(&folder.path().join(name), b"line\n", 0o600).unwrap();
    }
    let upload = |run: &mut Run, recorder: Recorder| {
        let machine = Shared(Arc::new(Mutex::new(recorder)));
        run.ctx.machine = Box::new(machine.clone());
        logs::upload(&mut run.ctx, folder.path());
        machine.0.lock().unwrap().fetched.len()
    };
    assert_eq!(upload(&mut run, Recorder::new(facts())), 1);
    let refusing = Recorder::new(facts()).answering(HEAD, |request| refused(request, 413));
    assert_eq!(upload(&mut run, refusing), 3, "one that is refused says nothing of the next");
}
