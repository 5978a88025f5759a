//! Keeps a host running: starts it, notices its end, starts the next one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Connection, Unanswered};
use super::process::{self, NotStarted, Started};
use super::{Inner, Launcher, Link, PinSource, Settings};
use crate::wire::{Fault, FaultKind, Request, Secret};

/// How long a host may take to load its library and log in.
const OPENING: Duration = Duration::from_secs(30);
/// A token that could not be opened is tried again so much later at first, and twice as late each time.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a token is asked how it is.
const LOOK: Duration = Duration::from_secs(5);
/// How long it may take to say so.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// A host that has lived so long did not end because of how it began.
const GOOD_LIFE: Duration = Duration::from_secs(10);
/// After so many hosts that did not live long, the token counts as down.
const SHORT_LIVES_MAX: u32 = 5;

/// Runs until the token is dropped.
pub(super) async fn run(inner: Weak<Inner>, launcher: Launcher, pin: PinSource) {
    let mut refusals = Refusals::default();
    let mut pause = PAUSE_MIN;
    let mut short_lives = 0;
    loop {
        let Some(settings) = inner.upgrade().map(|inner| inner.settings.clone()) else { return };
        match open(&settings, &launcher, &pin, &mut refusals).await {
            Ok(Started { child, stream, facts }) => {
                let connection = Connection::over(stream, facts);
                let began = Instant::now();
                if !announce_up(&inner, &connection, short_lives < SHORT_LIVES_MAX) {
                    return;
                }
                pause = PAUSE_MIN;
                watch(&settings, &connection).await;
                let ending = end(child).await;
                short_lives = if began.elapsed() < GOOD_LIFE { short_lives + 1 } else { 0 };
                let Some(inner) = inner.upgrade() else { return };
                announce_end(&inner, short_lives, &ending);
                drop(inner);
                sleep(PAUSE_MIN / 5 * short_lives.saturating_sub(1).min(100)).await;
            }
            // Killed while it started, by whom ever: not yet a reason to turn requests away.
            Err(fault) if fault.kind == FaultKind::Lost && short_lives < SHORT_LIVES_MAX => {
                short_lives += 1;
                sleep(PAUSE_MIN / 5).await;
            }
            Err(fault) => {
                let Some(inner) = inner.upgrade() else { return };
                announce_down(&inner, &fault);
                drop(inner);
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// A PIN that a token refused is not shown to it again: tokens count, and lock themselves.
#[derive(Default)]
struct Refusals {
    last: Option<(String, Secret)>,
}

async fn open(settings: &Settings, launcher: &Launcher, pin: &PinSource, refusals: &mut Refusals) -> Result<Started, Fault> {
    let pin = pin().map_err(|problem| Fault::new(FaultKind::PinRefused, format!("the PIN cannot be read: {problem}")))?;
    let refused_by = match &refusals.last {
        Some((serial, refused)) if *refused == pin => serial.clone(),
        _ => String::new(),
    };
    let shown = pin.clone();
    let started = match timeout(OPENING, process::start(settings, launcher, pin, refused_by)).await {
        Ok(started) => started,
        Err(_) => Err(Fault::new(FaultKind::Unavailable, "the library did not open the token within 30 seconds").into()),
    };
    started.map_err(|NotStarted { fault, refused_by }| {
        if let Some(serial) = refused_by {
            refusals.last = Some((serial, shown));
        }
        fault
    })
}

/// Waits until the host is gone or no good; asks it now and then, so that a dead token is known before somebody needs it.
async fn watch(settings: &Settings, connection: &Connection) {
    while timeout(LOOK, connection.ended()).await.is_err() {
        let patience = LOOK_PATIENCE.max(settings.timeout);
        match connection.ask(&Request::Status, Instant::now() + patience, false).await {
            Ok(Err(fault)) if fault.kind == FaultKind::Unavailable => connection.condemn(),
            Err(Unanswered::Late) if connection.is_stalled(patience) => connection.condemn(),
            _ => {}
        }
    }
}

/// Ends the process and takes its exit status, so that it does not stay behind as a zombie.
/// Says how it ended: by SIGKILL, if it was this that ended it.
async fn end(mut child: Child) -> String {
    // It may be gone already.
    let _ = child.start_kill();
    child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Says that the token is there. Whether there is anybody to say it to.
fn announce_up(inner: &Weak<Inner>, connection: &Arc<Connection>, calm: bool) -> bool {
    let Some(inner) = inner.upgrade() else { return false };
    inner.meters.started.increment(1);
    inner.meters.up.set(1.0);
    let was_down = matches!(&*inner.link.borrow(), Link::Down(_));
    if was_down || calm {
        let facts = &connection.facts;
        tracing::info!(
            token = %inner.settings.name, serial = %facts.serial, model = %facts.model, abilities = %facts.abilities.join(", "), "token is open"
        );
    }
    inner.link.send_replace(Link::Up(Arc::clone(connection)));
    true
}

fn announce_end(inner: &Inner, short_lives: u32, ending: &str) {
    inner.meters.up.set(0.0);
    if short_lives >= SHORT_LIVES_MAX {
        announce_down(
            inner,
            &Fault::new(
                FaultKind::Unavailable,
                format!("the process that holds the token's library ends again and again: {ending}"),
            ),
        );
        return;
    }
    tracing::warn!(token = %inner.settings.name, ending, "the token's host process ended; starting another one");
    inner.link.send_replace(Link::Starting);
}

/// One line when it changes, not one for each try.
fn announce_down(inner: &Inner, fault: &Fault) {
    inner.meters.up.set(0.0);
    let fault = Fault::new(fault.kind, format!("token {}: {}", inner.settings.name, fault.detail));
    let known = matches!(&*inner.link.borrow(), Link::Down(last) if *last == fault);
    if !known {
        tracing::error!(token = %inner.settings.name, kind = ?fault.kind, "token is down: {}", fault.detail);
    }
    inner.link.send_replace(Link::Down(fault));
}
