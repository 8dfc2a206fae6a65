//! A command that somebody elsewhere wants run: judged by the table of scopes, then run in a process of its own, without a
//! shell, with a time limit and limits to what goes in and comes out.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::{ACTOR, Caller, scope};
use crate::cli::Cli;
use crate::data_dir::DataDir;

/// What the arguments and stdin may have together, as JSON.
pub const CALL_MAX: usize = 8 << 20;
/// What a command may print, to stdout and stderr each.
const PRINTED_MAX: u64 = 16 << 20;
/// What a command may take: the power of a rack, or a required plugin, takes its time.
pub const TIME_MAX: Duration = Duration::from_secs(600);
/// What is waited for output after a command's end, where something that it left behind could still print.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Where the site's commands and plugins look for programs: those of whoever started `serve` may be others each time.
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is posted.
#[derive(Debug, Deserialize, Serialize)]
pub struct Call {
    /// As they would be typed behind `headnode`.
    pub args: Vec<String>,
    /// What a file `-` has.
    #[serde(default)]
    pub stdin: String,
}

/// What is answered.
#[derive(Debug, Deserialize, Serialize)]
pub struct Answer {
    /// The exit status.
    pub status: u8,
    /// What it printed.
    pub stdout: String,
    /// And what it said.
    pub stderr: String,
}

/// A call that is not run.
pub enum Unfit {
    /// It is no command, or only wants help.
    Said(Answer),
    /// It may not be: why.
    Denied(String),
}

/// Whether `caller` may have these arguments run. What they are about, for the log: values may be secrets.
///
/// # Errors
/// Why not.
pub fn judge(args: &[String], caller: &Caller) -> Result<String, Unfit> {
    let said = |error: clap::Error| {
        let (text, status) = (error.render().to_string(), u8::try_from(error.exit_code()).unwrap_or(2));
        let (stdout, stderr) = if error.use_stderr() { (String::new(), text) } else { (text, String::new()) };
        Unfit::Said(Answer { status, stdout, stderr })
    };
    let words = std::iter::once("headnode").chain(args.iter().map(String::as_str));
    let mut matches = Cli::command().try_get_matches_from(words).map_err(said)?;
    let name = name(&matches);
    if matches.value_source("data_dir") != Some(ValueSource::DefaultValue) {
        return Err(Unfit::Denied("the data folder is that of the head node: leave --data-dir out".into()));
    }
    let cli = Cli::from_arg_matches_mut(&mut matches).map_err(said)?;
    match scope::needed(&cli.command) {
        None => Err(Unfit::Denied(format!(
            "`{name}` is for who is at the head node: it is about files there (a file `-` is your stdin), or waits for answers"
        ))),
        Some(needed) if needed > caller.scope => Err(Unfit::Denied(format!(
            "`{name}` needs the scope {}, and {} has {}",
            needed.name(),
            caller.name,
            caller.scope.name()
        ))),
        Some(_) => Ok(name),
    }
}

/// The command's own words.
fn name(matches: &ArgMatches) -> String {
    let mut words = Vec::new();
    let mut at = matches;
    while let Some((word, below)) = at.subcommand() {
        words.push(word);
        at = below;
    }
    words.join(" ")
}

/// The first argument of a process that was started for a call; the second is the data folder.
const CALLED: &str = "@called";

/// The whole command line of a call, if this process was started for one. What was typed elsewhere may have secrets, and
/// everybody can see the arguments of a process: they come by stdin, before what the command itself reads there.
///
/// # Errors
/// When it does not come.
pub fn called() -> Result<Option<Vec<OsString>>> {
    let mut words = std::env::args_os();
    let (program, word, folder) = (words.next(), words.next(), words.next());
    let (Some(program), Some(folder), true) = (program, folder, word.is_some_and(|word| word == CALLED))
    else {
        return Ok(None);
    };
    let args = read_args().context("reading a call's arguments")?;
    let words = [program, "--data-dir".into(), folder].into_iter();
    Ok(Some(words.chain(args.into_iter().map(OsString::from)).collect()))
}

/// From stdin, and no byte more: the command may read the rest, or hand it on.
fn read_args() -> Result<Vec<String>> {
    let mut stdin = File::from(rustix::io::dup(std::io::stdin())?);
    let mut length = [0; 4];
    stdin.read_exact(&mut length)?;
    let mut args = vec![0; u32::from_be_bytes(length) as usize];
    stdin.read_exact(&mut args)?;
    Ok(serde_json::from_slice(&args)?)
}

/// Arguments as [`called`] reads them: the length of their JSON (32 bits, big endian), and that.
fn framed(args: &[String]) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(args)?;
    Ok([&u32::try_from(json.len())?.to_be_bytes()[..], &json].concat())
}

/// Runs what was judged.
///
/// # Errors
/// When it cannot be started, takes too long or prints too much.
pub async fn run(dir: &DataDir, caller: &Caller, call: Call) -> Result<Answer> {
    let input = [framed(&call.args)?, call.stdin.into_bytes()].concat();
    // This very program, even if its file was replaced meanwhile: the store is of its release.
    let mut child = Command::new("/proc/self/exe")
        .arg0("headnode")
        .arg(CALLED)
        .arg(dir.root())
        .env_clear()
        .env("PATH", PROGRAMS)
        .env(ACTOR, &caller.name)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("starting the command")?;
    let Ok(outcome) = tokio::time::timeout(TIME_MAX, follow(&mut child, input)).await else {
        if let Some(group) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // It has an id, so it is not reaped: nobody else has it.
            let _ = kill_process_group(group, Signal::KILL);
        }
        bail!("the command took longer than {} s, and was ended", TIME_MAX.as_secs());
    };
    let (status, stdout, stderr) = outcome?;
    let Some(status) = status.code().and_then(|code| u8::try_from(code).ok()) else {
        bail!("the command ended with {status}");
    };
    Ok(Answer { status, stdout, stderr })
}

async fn follow(child: &mut Child, input: Vec<u8>) -> Result<(ExitStatus, String, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read it has not asked for it.
            let _ = stdin.write_all(&input).await;
        }
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = {
        let talk = async { tokio::join!(feed, listen(stdout, &mut out), listen(stderr, &mut err)) };
        let mut talk = pin!(talk);
        let (status, ((), out, err)) = tokio::select! {
            heard = &mut talk => (child.wait().await, heard),
            status = child.wait() => {
                let heard = tokio::time::timeout(LAST_WORDS, talk).await;
                (status, heard.unwrap_or(((), Ok(()), Ok(()))))
            }
        };
        out.and(err)?;
        status.context("waiting for the command")?
    };
    Ok((status, printed(&out)?, printed(&err)?))
}

/// Past the limit nobody listens, and the command fails to print.
async fn listen(pipe: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) -> Result<()> {
    if let Some(pipe) = pipe {
        pipe.take(PRINTED_MAX + 1).read_to_end(bytes).await.context("reading what the command prints")?;
    }
    Ok(())
}

fn printed(bytes: &[u8]) -> Result<String> {
    if bytes.len() as u64 > PRINTED_MAX {
        bail!("the command prints more than {} MiB: run it at the head node", PRINTED_MAX >> 20);
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn trust_what_a_command_leaves_behind_holds_nobody() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 300 & echo $!; cat >&2; exit 3"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), follow(&mut child, b"in".to_vec())).await;
        let (status, out, err) = ended.expect("it waits for what was left behind").unwrap();
        let left = Pid::from_raw(out.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
        assert_eq!((status.code(), err.as_str()), (Some(3), "in"));
    }
}
