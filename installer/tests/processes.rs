//! The program's processes among themselves, in a mount namespace with a /run of their own. Needs root and unshare(1).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test runs the program")]

use std::process::Command;

use serde_json::{Value, json};

/// Runs a script with `$installer` as root of nothing but /run; its output.
fn script(text: &str) -> String {
    let trust = json!({
        "root_keys": [], "image_keys": [], "time_floor": 0,
        "ca_pem": include_str!("../../host/tests/support/ca.pem"),
    });
    let prelude = r#"set -eu
        mount -t tmpfs tmpfs /run
        mkdir -m 0700 /run/camphor
        printf '%s' "$trust" > /run/camphor/trust.json
        say() { "$installer" "$@" > /run/said 2>&1; }
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{prelude}{text}")]);
    command.env("installer", env!("CARGO_BIN_EXE_installer")).env("trust", trust.to_string());
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[test]
fn the_heartbeat_lasts_from_the_begin_to_the_failure() {
    let events = script(
        r#"
        say report begin
        read -r pid < /run/camphor/heartbeat || true
        grep -qz heartbeat "/proc/$pid/cmdline"
        say report begin
        read -r second < /run/camphor/heartbeat || true
        [ "$pid" != "$second" ] && ! grep -qz heartbeat "/proc/$pid/cmdline" 2> /dev/null
        say report failed --text 'dracut gave up'
        ! grep -qz heartbeat "/proc/$second/cmdline" 2> /dev/null
        cat /run/camphor/events.json
        "#,
    );
    let events: Value = serde_json::from_str(&events).unwrap();
    let waiting = events["waiting"].as_array().unwrap();
    let kinds: Vec<(&str, u64)> = waiting
        .iter()
        .map(|event| (event["event"].as_str().unwrap(), event["seq"].as_u64().unwrap()))
        .collect();
    assert_eq!(kinds, [("step-started", 1), ("step-started", 2), ("failed", 3)]);
    assert_eq!((waiting[0]["step"].as_str(), waiting[0]["number"].as_u64()), (Some("anaconda"), Some(10)));
    assert_eq!(waiting[2]["cause"][0], "dracut gave up");
}

/// It shows its screen and stays: dracut would go on, and anaconda would reboot. SIGTERM ends it.
#[test]
fn what_fails_holds_until_it_is_ended() {
    let log = script(
        r#"
        for words in "prepare --out /run/ks.cfg" "finish --root /run/no-such-root" "report failed --script site"; do
            rm -f /run/camphor/log
            timeout 60 "$installer" $words > /run/said 2>&1 &
            pid=$!
            until grep -q "held after failing" /run/camphor/log 2> /dev/null; do kill -0 $pid; done
            kill $pid
            wait $pid && exit 1 || [ $? -ge 124 ]
            cat /run/camphor/log
        done
        [ ! -e /run/ks.cfg ]
        "#,
    );
    for wanted in [
        "camphor: FAILED at step session",
        "camphor.head=http://… is missing",
        "camphor: FAILED at step start",
        "looking for the new root /run/no-such-root",
        "the script `site` failed",
    ] {
        assert!(log.contains(wanted), "{wanted} is not in:\n{log}");
    }
}

/// A head node that does not answer takes its time: whoever looks at the console must not wait for it.
#[test]
fn the_screen_comes_before_anything_is_sent() {
    let link = json!({
        "session": {
            "https": "https://127.0.0.1:1", "key": "k", "node": "n001", "mac": "52:54:00:00:00:01",
            "arming": "00000000-0000-0000-0000-000000000007", "attempt": "00000000-0000-0000-0000-000000000008",
        },
        "kusu": null, "time": [1_800_000_000, 0],
    });
    let log = script(&format!(
        r#"
        cp "$installer" /run/installer # it may lie below /tmp itself
        mount -t tmpfs tmpfs /tmp
        echo line > /tmp/anaconda.log
        printf '%s' '{link}' > /run/camphor/link.json
        timeout 60 /run/installer report failed --script site > /run/said 2>&1 &
        pid=$!
        until grep -q "uploading the log" /run/camphor/log 2> /dev/null; do kill -0 $pid; done
        kill $pid
        wait $pid && exit 1 || [ $? -ge 124 ]
        cat /run/camphor/log
        "#
    ));
    let place = |wanted: &str| log.find(wanted).unwrap_or_else(|| panic!("{wanted} is not in:\n{log}"));
    assert!(place("camphor: FAILED at step anaconda") < place("uploading the log anaconda.log"), "{log}");
}
