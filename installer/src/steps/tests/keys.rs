//! Host keys that are to be kept.

use host::recorder::Recorder;

use super::{HEAD, Start, document_with, facts, refused, screen_of, unsearched};

#[test]
fn host_keys_that_nobody_else_has_are_not_risked() {
    let start = Start::new();
    let url = format!("{HEAD}/api/v1/escrow");
    let screen = screen_of(Start {
        recorder: start.recorder.answering(url, |request| refused(request, 413)),
        ..start
    });
    assert!(screen.contains("FAILED at step salvage"), "{screen}");
    assert!(screen.contains("leaving the SSH host keys with the head node"), "{screen}");
}

/// What an earlier attempt wiped is nowhere else: neither lost for other keys, nor put in their place at the head node.
#[test]
fn host_keys_that_the_head_node_holds_win() {
    let held = serde_json::json!([{
        "type": "ed25519", "private": "-----BEGIN\nplanted-private-held\n-----END\n", "public": "ssh-ed25519 AAAA held",
    }]);
    let run = Start { document: document_with("/secrets/ssh_host_keys", held), ..Start::new() }.prepare();
    run.result.as_ref().unwrap();
    assert_eq!(run.escrowed, []);
    let kept = run.ctx.state.nii().unwrap().unwrap().secrets.unwrap().ssh_host_keys;
    assert_eq!(kept[0].public, "ssh-ed25519 AAAA held");
    assert!(run.lines.iter().any(|line| line.contains("that the head node holds")), "{:?}", run.lines);
}

#[test]
fn host_keys_that_cannot_be_searched_for_are_not_wiped() {
    let mut recorder = Recorder::new(facts());
    recorder.salvage = unsearched();
    let screen = screen_of(Start { recorder, ..Start::new() });
    assert!(
        screen.contains("FAILED at step salvage") && screen.contains("/dev/vda2 is a physical"),
        "{screen}"
    );
    assert!(screen.contains("set `ssh_host_keys` of the document's [root] to `generate`"), "{screen}");
    let mut recorder = Recorder::new(facts());
    recorder.salvage = unsearched();
    let document = document_with("/root/ssh_host_keys", "generate".into());
    let run = Start { recorder, document }.prepare();
    run.result.unwrap();
}
