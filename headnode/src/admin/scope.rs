//! What a caller may do, and what each command needs.
//!
//! * `read` sees what is shown without secrets.
//! * `operate` does with nodes what their documents say already.
//! * `admin` changes what they say. Documents name commands that the head node runs, so that is as much as a shell there.
//!
//! Nobody who is elsewhere names a path of this machine, but for `-`, which is the caller's own stdin; or starts what asks,
//! listens or edits. A further API key comes from here as well, so that who had one has none when it is revoked.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use clap::ValueEnum;

use crate::cli::{
    ApiKey, Attribute, Boot, Command, Escrow, Group, Host, Image, Keys, Netboot, Network, Node, Os, Plugin,
    Script, Tpm,
};
use crate::input::is_stdin;

/// What a caller may do; each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scope {
    /// See all that is shown without secrets
    Read,
    /// And install, power, lock nodes as they are described
    Operate,
    /// And describe them, secrets included: as much as a shell of the data folder's user
    Admin,
}

impl Scope {
    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        ValueEnum::from_str(text, false).map_err(|error| anyhow!(error))
    }
}

/// What a command needs; `None`: it is for who is here.
pub fn needed(command: &Command) -> Option<Scope> {
    use Scope::{Admin, Operate, Read};
    match command {
        Command::Init(_) | Command::Serve(_) | Command::Doctor(_) | Command::Remote(_) => None,
        Command::Backup { .. } | Command::Restore { .. } | Command::ImportSite(_) => None,
        Command::HashPassword | Command::Completion { .. } | Command::Man { .. } => None,
        Command::Trust { write } => write.is_none().then_some(Read),
        Command::Status { .. } | Command::Events { .. } | Command::Logs { .. } => Some(Read),
        Command::Nii { .. } | Command::Plan { .. } => Some(Read),
        Command::Power { .. } | Command::Lock { .. } | Command::Unlock { .. } => Some(Operate),
        Command::Export { secrets } => Some(if *secrets { Admin } else { Read }),
        Command::Import { file, .. } => stdin_only(file),
        Command::Addhost(options) => options.file.as_deref().and_then(stdin_only),
        Command::Keys(command) => of_keys(command),
        Command::ApiKey(command) => match command {
            ApiKey::Add { .. } => None,
            ApiKey::List | ApiKey::Revoke { .. } => Some(Admin),
        },
        Command::Network(command) => of_network(command),
        Command::Image(command) => match command {
            Image::Import { .. } => None,
            Image::List | Image::Show { .. } => Some(Read),
            Image::Rm { .. } => Some(Admin),
        },
        Command::Netboot(command) => match command {
            Netboot::Add { .. } => None,
            Netboot::List => Some(Read),
            Netboot::Rm { .. } => Some(Admin),
        },
        Command::Os(command) => match command {
            Os::Import { .. } => None,
            Os::List | Os::Show { .. } => Some(Read),
            Os::Rm { .. } => Some(Admin),
        },
        Command::Script(command) => match command {
            Script::Add { file, .. } => stdin_only(file),
            Script::List | Script::Show { .. } => Some(Read),
            Script::Rm { .. } => Some(Admin),
        },
        Command::Escrow(command) => match command {
            Escrow::List => Some(Read),
            Escrow::Drop { .. } => Some(Admin),
        },
        Command::Tpm(Tpm::List) => Some(Read),
        Command::Tpm(Tpm::Accept { .. } | Tpm::Forget { .. }) => Some(Admin),
        Command::Group(command) => of_group(command),
        Command::Node(command) => of_node(command),
        Command::Host(command) => of_host(command),
        Command::Attribute(command) => match command {
            Attribute::List { .. } => Some(Read),
            Attribute::Set { .. } | Attribute::Unset { .. } => Some(Admin),
        },
        Command::Boot(command) => of_boot(command),
        Command::Plugin(command) => of_plugin(command),
    }
}

fn stdin_only(file: &Path) -> Option<Scope> {
    is_stdin(file).then_some(Scope::Admin)
}

fn of_keys(command: &Keys) -> Option<Scope> {
    match command {
        Keys::List => Some(Scope::Read),
        Keys::Rotate { root_key: None, certificate: None, .. } => Some(Scope::Admin),
        Keys::Rotate { .. } | Keys::Certify { .. } => None,
    }
}

fn of_network(command: &Network) -> Option<Scope> {
    match command {
        Network::Edit { .. } => None,
        Network::List | Network::Show { .. } | Network::Snippet { .. } => Some(Scope::Read),
        Network::Add { .. } | Network::Set { .. } | Network::Unset { .. } | Network::Rm { .. } => {
            Some(Scope::Admin)
        }
    }
}

fn of_group(command: &Group) -> Option<Scope> {
    match command {
        Group::Edit { .. } => None,
        Group::List | Group::Show { secrets: false, .. } => Some(Scope::Read),
        Group::Add { file, .. } | Group::Set { file: Some(file), .. } => stdin_only(file),
        Group::Show { secrets: true, .. }
        | Group::Set { file: None, .. }
        | Group::Unset { .. }
        | Group::Rm { .. } => Some(Scope::Admin),
    }
}

fn of_node(command: &Node) -> Option<Scope> {
    match command {
        Node::Edit { .. } => None,
        Node::List { .. } | Node::Show { .. } => Some(Scope::Read),
        Node::Add { .. } | Node::Set { .. } | Node::Unset { .. } | Node::Rm { .. } => Some(Scope::Admin),
    }
}

fn of_host(command: &Host) -> Option<Scope> {
    match command {
        Host::List => Some(Scope::Read),
        Host::Add { file: Some(file), .. } => stdin_only(file),
        Host::Add { file: None, .. } | Host::Rm { .. } => Some(Scope::Admin),
    }
}

fn of_boot(command: &Boot) -> Option<Scope> {
    match command {
        Boot::Show { .. } | Boot::Rollout { abort: false, .. } => Some(Scope::Read),
        Boot::Install { .. }
        | Boot::Reinstall { .. }
        | Boot::Diskless { .. }
        | Boot::Rescue { .. }
        | Boot::Local { .. }
        | Boot::Rollout { abort: true, .. } => Some(Scope::Operate),
    }
}

fn of_plugin(command: &Plugin) -> Option<Scope> {
    match command {
        Plugin::Render(_) => None,
        Plugin::List | Plugin::Input { .. } | Plugin::Template { .. } => Some(Scope::Read),
        Plugin::Run { .. } => Some(Scope::Operate),
        Plugin::Install { .. } => Some(Scope::Admin),
    }
}
