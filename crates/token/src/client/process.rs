//! Starting a host: a child process with one end of a Unix socket as its standard input, and the exchange of greetings.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::connection::read_frame;
use super::{Launcher, Settings};
use crate::wire::codec::Wire as _;
use crate::wire::{Answer, Fault, FaultKind, Hello, Outcome, PROTOCOL, Secret, TokenFacts, frame};

/// A host that has opened its token.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) stream: UnixStream,
    pub(super) facts: TokenFacts,
}

/// Why a host has not opened its token; and the token's serial number if it is the PIN that was refused.
pub(super) struct NotStarted {
    pub(super) fault: Fault,
    pub(super) refused_by: Option<String>,
}

impl From<Fault> for NotStarted {
    fn from(fault: Fault) -> Self {
        Self { fault, refused_by: None }
    }
}

/// Starts a host and greets it. When the future is dropped, so is the process.
pub(super) async fn start(
    settings: &Settings,
    launcher: &Launcher,
    pin: Secret,
    refused_by: String,
) -> Result<Started, NotStarted> {
    let broken = |what: &str, error: &std::io::Error| Fault::new(FaultKind::Lost, format!("{what}: {error}"));
    let (mut stream, child) =
        spawn(settings, launcher).map_err(|error| broken("the token's host process cannot be started", &error))?;
    let hello = Hello {
        protocol: PROTOCOL,
        library: settings.library.to_string_lossy().into_owned(),
        token: settings.token.clone(),
        pin,
        refused_by,
        sessions: settings.sessions,
    };
    let greeting = frame(0, &hello).ok_or_else(|| Fault::new(FaultKind::Protocol, "the PIN is longer than any PIN"))?;
    drop(hello);
    let exchange = async {
        stream.write_all(&greeting).await?;
        read_frame(&mut stream).await
    };
    let (_, body) =
        exchange.await.map_err(|error| broken("the token's host process ended before it had opened the token", &error))?;
    match Outcome::parse(&body) {
        Ok(Ok(Answer::Token { facts })) => Ok(Started { child, stream, facts }),
        Ok(Ok(Answer::LockedOut { serial, fault })) => Err(NotStarted { fault, refused_by: Some(serial) }),
        Ok(Err(fault)) => Err(fault.into()),
        _ => Err(Fault::new(FaultKind::Protocol, "the token's host process does not answer as it should").into()),
    }
}

fn spawn(settings: &Settings, launcher: &Launcher) -> std::io::Result<(UnixStream, Child)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new(&launcher.program);
    command
        .args(&launcher.arguments)
        // In `ps`, whatever the path that it was started by.
        .arg0("claviger")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        // A signal from the terminal is for the server, which still needs the token for what is under way.
        .process_group(0)
        .kill_on_drop(true);
    for name in &launcher.hidden {
        command.env_remove(name);
    }
    let child = command.envs(&settings.environment).spawn()?;
    Ok((UnixStream::from_std(ours)?, child))
}
