//! The process that loads a vendor's library: `claviger hsm-host`.
//!
//! It serves one token over one socket, and ends with it: when the server is gone, so is the socket's other end. Threads of its own, each with a
//! session, take requests from one queue. What they may do about a fault: find the key again, open a new session, log in again. If that does
//! not help and the token does not work at all, the answer says so, and the server starts another process: that is the one
//! cure that helps with every library.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cryptoki::session::Session;
use parking_lot::Mutex;

mod checks;
mod faults;
mod message_keys;
mod objects;
mod operations;
mod queue;
mod quirks;
mod token;
mod uses;

use crate::wire::codec::Wire as _;
use crate::wire::{Answer, Asked, Fault, FaultKind, Hello, Outcome, PROTOCOL, Request, Secret, frame, read_frame, write_frame};
use faults::{Course, Failure, course, explain};
use queue::Queue;
use token::{Opened, Token};

/// How long a library may take to close its sessions when the server is gone.
const FAREWELL: Duration = Duration::from_secs(2);
/// More sessions than this are not opened, whatever is asked for.
const SESSIONS_MAX: u16 = 256;

/// Serves the token that the first frame on standard input names, until the other end is closed. Standard input is a Unix socket, made by
/// the server: it has no name that anybody else could connect to.
///
/// # Errors
/// Standard input is no socket, or what comes from it is not understood.
pub fn run() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    serve(socket)
}

fn serve(mut socket: UnixStream) -> io::Result<()> {
    let Some((id, body)) = read_frame(&mut socket)? else { return Ok(()) };
    let opened = greeted(&body);
    drop(body);
    let (token, first, sessions) = match opened {
        Ok((Opened::Open(token, session), sessions)) => (token, session, sessions),
        Ok((Opened::LockedOut { serial, fault }, _)) => {
            return write_frame(&mut socket, id, &Outcome::Ok(Answer::LockedOut { serial, fault }));
        }
        Err(fault) => return write_frame(&mut socket, id, &Outcome::Err(fault)),
    };
    write_frame(&mut socket, id, &Outcome::Ok(Answer::Token { facts: token.facts() }))?;
    let host = Arc::new(Host { token: *token, queue: Queue::new(), answers: Mutex::new(socket.try_clone()?) });
    let mut first = Some(first);
    let mut workers = Vec::new();
    for number in 0..sessions {
        let (host, session) = (Arc::clone(&host), first.take());
        let work = move || Worker { host, session }.run();
        workers.push(std::thread::Builder::new().name(format!("session {number}")).spawn(work)?);
    }
    let read = receive(&host, &mut socket);
    farewell(host, workers);
    read
}

fn greeted(body: &[u8]) -> Result<(Opened, u16), Fault> {
    let hello = Hello::parse(body).map_err(|_| Fault::new(FaultKind::Protocol, "the greeting was not understood"))?;
    if hello.protocol != PROTOCOL {
        let versions = format!("the server speaks version {} of the frames, the host {PROTOCOL}", hello.protocol);
        return Err(Fault::new(FaultKind::Protocol, versions));
    }
    Ok((Token::open(&hello)?, hello.sessions.clamp(1, SESSIONS_MAX)))
}

/// What the threads share.
struct Host {
    token: Token,
    queue: Queue<Job>,
    answers: Mutex<UnixStream>,
}

struct Job {
    id: u64,
    body: Secret,
    came: Instant,
}

/// Takes requests off the socket until it ends. A full queue stops it, so that the server notices.
fn receive(host: &Host, socket: &mut UnixStream) -> io::Result<()> {
    while let Some((id, body)) = read_frame(socket)? {
        host.queue.push(Job { id, body, came: Instant::now() });
    }
    Ok(())
}

/// The server is gone. Closes the sessions, which network HSMs would keep for a while otherwise; but the process ends soon, whatever the library does.
fn farewell(host: Arc<Host>, workers: Vec<JoinHandle<()>>) {
    std::thread::spawn(|| {
        std::thread::sleep(FAREWELL);
        // Not `exit`: handlers of the library may hang in it. This process holds nothing that has to be written.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
    host.queue.close();
    for worker in workers {
        // A worker that broke has closed its session by that.
        let _ = worker.join();
    }
    drop(host);
}

/// An answer as it is sent. One that is longer than a frame may be, such as the list of a token that shows very long labels, is none: the server is told so,
/// and waits for nothing.
fn answer_frame(id: u64, outcome: &Outcome) -> Option<Secret> {
    let too_long = || Outcome::Err(Fault::new(FaultKind::Refused, "the token's answer is longer than any that is taken"));
    frame(id, outcome).or_else(|| frame(id, &too_long()))
}

/// A thread with a session.
struct Worker {
    host: Arc<Host>,
    session: Option<Session>,
}

impl Worker {
    fn run(mut self) {
        loop {
            let Some(Job { id, body, came }) = self.host.queue.pop() else { return };
            let outcome = match Asked::parse(&body) {
                Ok(asked) if came.elapsed() > Duration::from_millis(asked.patience_ms.into()) => {
                    Err(Fault::new(FaultKind::Expired, "the token was busy for longer than anybody waits"))
                }
                Ok(asked) => self.answer(&asked.request),
                Err(_) => Err(Fault::new(FaultKind::Protocol, "the request was not understood")),
            };
            let written = answer_frame(id, &outcome).map_or(Ok(()), |frame| self.host.answers.lock().write_all(&frame));
            if written.is_err() {
                // The server is gone, and the thread that reads notices by itself.
                return;
            }
        }
    }

    /// An unwinding library would take this thread with it, and its session.
    fn answer(&mut self, request: &Request) -> Outcome {
        match catch_unwind(AssertUnwindSafe(|| self.attempt(request))) {
            Ok(outcome) => outcome,
            Err(_) => {
                self.session = None;
                Err(Fault::new(FaultKind::Unavailable, "something inside the token's host broke"))
            }
        }
    }

    fn attempt(&mut self, request: &Request) -> Outcome {
        let mut last = None;
        for _ in 0..2 {
            match self.once(request) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Fault(fault)) => return Err(fault),
                Err(Failure::Library(error)) => {
                    match course(&error) {
                        Course::Answer => return Err(explain(&error)),
                        Course::NewHandle => self.host.token.forget(request.reference()),
                        Course::NewSession => {
                            self.session = None;
                            self.host.token.forget(None);
                        }
                    }
                    last = Some(error);
                }
            }
        }
        let fault = last.map_or_else(|| Fault::new(FaultKind::Unavailable, "the token does not answer"), |error| explain(&error));
        if fault.kind == FaultKind::Unavailable && self.host.token.works() {
            // The token is well: it is this one thing that it does not do.
            return Err(Fault::new(FaultKind::Refused, fault.detail.replace("does not work at the moment", "refuses this")));
        }
        Err(fault)
    }

    fn once(&mut self, request: &Request) -> Result<Answer, Failure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.host.token.session()?,
        };
        let answer = operations::perform(&session, &self.host.token, request);
        self.session = Some(session);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BODY_BYTES_MAX, HEAD_BYTES};

    fn answered(bytes: usize) -> Outcome {
        let answer = Outcome::Ok(Answer::Bytes { bytes: vec![7; bytes].into() });
        let frame = answer_frame(5, &answer).unwrap();
        Outcome::parse(&frame[HEAD_BYTES..]).unwrap()
    }

    #[test]
    fn an_answer_that_is_too_long_is_a_fault_and_not_silence() {
        assert!(matches!(answered(100), Ok(Answer::Bytes { .. })));
        let Err(fault) = answered(BODY_BYTES_MAX) else { panic!("it fits") };
        assert_eq!(fault.kind, FaultKind::Refused);
        assert!(fault.detail.contains("longer"), "{fault}");
    }
}
