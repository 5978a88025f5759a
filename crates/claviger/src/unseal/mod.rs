//! A deployment that is not opened yet: what it waits for, and what people bring to open it.
//!
//! A server whose seals cannot be opened at its start, but may be later (shares that people keep, a passphrase that somebody types, a token
//! that does not answer), starts sealed. It keeps trying what needs nobody, and takes shares and passphrases from whoever brings them: what is
//! brought proves itself, so that no other credential is asked for. Nothing else is served meanwhile.
//!
//! This file knows what was brought and what came of it; `door.rs` speaks HTTP, `pace.rs` limits who may try how often.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use claviger_domain::Timestamp;
use claviger_hsm::{Hsm, HsmError, SealSecret, SealedRoot, Share, SharedSeal};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::Seals;
use crate::seals::{Opened, Unopened, open_without_people};

mod door;
mod pace;
mod switch;

pub use switch::{Shared, Switch};

/// How often the seals that need nobody are tried again.
const RETRY: Duration = Duration::from_secs(10);
/// For how long shares are kept that are not enough yet.
const SHARES_KEPT: Duration = Duration::from_secs(12 * 60 * 60);

/// A deployment that waits to be opened.
pub struct Unsealing {
    deployment: Uuid,
    root: SealedRoot,
    seals: Seals,
    state: Mutex<State>,
    changed: Notify,
    pace: pace::Pace,
    /// Passphrases cost memory and time: one at a time.
    one_passphrase: tokio::sync::Semaphore,
}

struct State {
    unopened: Vec<Unopened>,
    collections: Vec<Collection>,
    /// How many attempts were refused.
    refused: u64,
    opened: Option<ByPeople>,
}

/// The shares of one seal that are here.
struct Collection {
    seal: SharedSeal,
    shares: Vec<(Share, IpAddr)>,
    begun: Instant,
}

/// The module, and how it came to be open.
pub struct ByPeople {
    /// The opened module.
    pub hsm: Hsm,
    /// The seal that opened it.
    pub seal: String,
    /// Who brought what, for the audit log. Nothing secret.
    pub details: Value,
}

/// What came of bringing something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offered {
    /// The share is right, and more are needed.
    Progress {
        /// The seal.
        seal: String,
        /// How many different shares are here.
        have: usize,
        /// How many open it.
        need: u8,
    },
    /// The deployment is open.
    Opened {
        /// By which seal.
        seal: String,
    },
    /// What was brought is not right.
    Refused(String),
    /// Too many attempts.
    TooOften,
}

impl Unsealing {
    /// A deployment of which these seals did not open.
    pub fn new(deployment: Uuid, root: SealedRoot, seals: Seals, unopened: Vec<Unopened>) -> Self {
        metrics::gauge!("claviger_sealed").set(1.0);
        let state = State { unopened, collections: Vec::new(), refused: 0, opened: None };
        Self {
            deployment,
            root,
            seals,
            state: Mutex::new(state),
            changed: Notify::new(),
            pace: pace::Pace::new(),
            one_passphrase: tokio::sync::Semaphore::new(1),
        }
    }

    /// What it waits for, and whose turn it is, in one sentence: for whoever asks the server.
    pub fn waits_for(&self) -> String {
        self.sentence(|_| String::new())
    }

    /// The same, with what went wrong: for the operator, in the log and in `/readyz`. It may name libraries and tokens.
    pub fn waits_for_and_why(&self) -> String {
        self.sentence(|unopened| unopened.why_token_is_away().map(|why| format!(" ({why})")).unwrap_or_default())
    }

    fn sentence(&self, why: impl Fn(&Unopened) -> String) -> String {
        let mut state = self.state.lock();
        state.forget_old_shares();
        let turn = |unopened| Some(self.turn(unopened, &state)? + &why(unopened));
        let waits: Vec<String> = state.unopened.iter().filter_map(turn).collect();
        format!("the server is sealed, and any one of these opens it: {}", waits.join("; "))
    }

    fn turn(&self, unopened: &Unopened, state: &State) -> Option<String> {
        let waits = unopened.waits.as_ref()?;
        let here = state.collections.iter().find(|collection| collection.seal.name == unopened.name);
        Some(match here {
            Some(Collection { seal, shares, .. }) => {
                format!("seal {}: {} of {} shares are here; {waits}", seal.name, shares.len(), seal.threshold)
            }
            None => format!("seal {}: {waits}", unopened.name),
        })
    }

    /// Waits until the deployment is open: by what people bring, or by a seal that came back by itself.
    pub async fn wait(&self) -> ByPeople {
        loop {
            if let Some(opened) = self.state.lock().opened.take() {
                metrics::gauge!("claviger_sealed").set(0.0);
                return opened;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(RETRY) => self.try_again().await,
            }
        }
    }

    /// Tries the seals that need nobody.
    async fn try_again(&self) {
        let (deployment, root, seals) = (self.deployment, self.root.clone(), self.seals.clone());
        let tried = tokio::task::spawn_blocking(move || open_without_people(deployment, &root, &seals)).await;
        match tried {
            Ok(Ok(Opened { hsm, by, .. })) => {
                tracing::info!(seal = by, "a seal opens again");
                let details = json!({ "seal": by, "by": "the seal itself" });
                self.state.lock().opened = Some(ByPeople { hsm, seal: by, details });
                self.changed.notify_one();
            }
            Ok(Err(unopened)) => self.state.lock().unopened = unopened,
            Err(error) => tracing::error!(%error, "the seals could not be tried"),
        }
    }

    /// Takes a share.
    pub(crate) async fn offer_share(&self, text: &Zeroizing<String>, from: IpAddr) -> Offered {
        let read = Share::parse(text).map_err(|error| error.to_string());
        let verified = read.and_then(|share| match self.root.verify_share(self.deployment, &share) {
            Ok(seal) => Ok((seal, share)),
            Err(error) => Err(error.to_string()),
        });
        let (seal, share) = match verified {
            Ok(verified) => verified,
            // Only what is wrong is counted: nobody can keep the holders out by trying.
            Err(_) if !self.pace.admits_wrong_share(from, Instant::now()) => return Offered::TooOften,
            Err(why) => return self.refuse(why, from),
        };
        let name = seal.name.clone();
        match self.collect(&seal, share, from) {
            Ok((have, need)) => Offered::Progress { seal: name, have, need },
            Err(complete) => self.open_with_shares(complete).await,
        }
    }

    /// Keeps a share: how many are here of how many; or the collection, once it is complete.
    fn collect(&self, seal: &SharedSeal, share: Share, from: IpAddr) -> Result<(usize, u8), Collection> {
        let mut state = self.state.lock();
        state.forget_old_shares();
        let at = state.collections.iter().position(|collection| collection.seal == *seal).unwrap_or_else(|| {
            state.collections.push(Collection { seal: seal.clone(), shares: Vec::new(), begun: Instant::now() });
            state.collections.len() - 1
        });
        let mut collection = state.collections.swap_remove(at);
        let (index, need) = (share.index(), seal.threshold);
        let new = collection.shares.iter().all(|(known, _)| known.index() != index);
        if new {
            collection.shares.push((share, from));
        }
        let have = collection.shares.len();
        if new {
            tracing::info!(seal = seal.name, share = index, %from, have, need, "a share was brought");
        }
        if have < usize::from(need) {
            state.collections.push(collection);
            return Ok((have, need));
        }
        Err(collection)
    }

    async fn open_with_shares(&self, collection: Collection) -> Offered {
        let brought: Vec<Value> =
            collection.shares.iter().map(|(share, from)| json!({ "share": share.index(), "from": from.to_string() })).collect();
        let from = collection.shares.last().map_or(IpAddr::from([0, 0, 0, 0]), |(_, from)| *from);
        let secret = SealSecret::Shares(collection.shares.into_iter().map(|(share, _)| share).collect());
        let name = collection.seal.name;
        match self.open(name.clone(), secret).await {
            Ok(hsm) => self.done(hsm, name, "shares", &json!(brought)),
            Err(error) => self.refuse(error.to_string(), from),
        }
    }

    /// Takes a passphrase for the named seal, or for the only one of that kind.
    pub(crate) async fn offer_passphrase(&self, seal: Option<String>, text: Zeroizing<String>, from: IpAddr) -> Offered {
        if !self.pace.admits_passphrase(from, Instant::now()) {
            return Offered::TooOften;
        }
        let Ok(_one) = self.one_passphrase.try_acquire() else { return Offered::TooOften };
        let mut known = self.root.seals().filter(|(_, kind)| *kind == "passphrase").map(|(name, _)| name.to_owned());
        let name = match (seal, known.next(), known.next()) {
            (Some(seal), _, _) => seal,
            (None, Some(only), None) => only,
            (None, None, _) => return self.refuse("no seal opens with a passphrase".to_owned(), from),
            (None, Some(_), Some(_)) => return self.refuse("several seals open with a passphrase: name one".to_owned(), from),
        };
        match self.open(name.clone(), SealSecret::Passphrase(text)).await {
            Ok(hsm) => self.done(hsm, name, "passphrase", &json!([{ "from": from.to_string() }])),
            Err(error) => self.refuse(error.to_string(), from),
        }
    }

    async fn open(&self, name: String, secret: SealSecret) -> Result<Hsm, HsmError> {
        let (deployment, root) = (self.deployment, self.root.clone());
        let opened = tokio::task::spawn_blocking(move || Hsm::open(deployment, &root, Some(&name), &secret)).await;
        opened.unwrap_or(Err(HsmError::Primitive("the opening of the seal, which was interrupted")))
    }

    fn done(&self, hsm: Hsm, seal: String, by: &str, brought: &Value) -> Offered {
        let mut state = self.state.lock();
        let at = Timestamp(jiff::Timestamp::now().as_millisecond());
        let details = json!({ "seal": seal, "by": by, "brought": brought, "atMs": at.0, "refusedAttempts": state.refused });
        // What is here of other seals is not needed any more.
        state.collections.clear();
        state.opened = Some(ByPeople { hsm, seal: seal.clone(), details });
        drop(state);
        self.changed.notify_one();
        Offered::Opened { seal }
    }

    fn refuse(&self, why: String, from: IpAddr) -> Offered {
        self.state.lock().refused += 1;
        tracing::warn!(%from, why, "an attempt to unseal was refused");
        Offered::Refused(why)
    }

    /// The seals that people can open now, for those who ask.
    pub(crate) fn status(&self) -> Value {
        let waits = self.waits_for();
        let state = self.state.lock();
        let have = |name: &str| {
            let collection = state.collections.iter().find(|collection| collection.seal.name == name);
            collection.map_or(0, |collection| collection.shares.len())
        };
        let shared: Vec<Value> = self
            .root
            .shared_seals()
            .map(|seal| json!({ "seal": seal.name, "set": seal.set, "have": have(&seal.name), "need": seal.threshold }))
            .collect();
        json!({ "sealed": true, "waits": waits, "shares": shared })
    }
}

impl State {
    fn forget_old_shares(&mut self) {
        self.collections.retain(|collection| {
            let kept = collection.begun.elapsed() < SHARES_KEPT;
            if !kept {
                tracing::warn!(
                    seal = collection.seal.name,
                    "the other shares did not come in time: those that came are forgotten"
                );
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use claviger_hsm::{NewSeal, PrintedShares};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn waiting() -> (Unsealing, PrintedShares) {
        let deployment = Uuid::from_u128(5);
        let seals = [("people".to_owned(), NewSeal::Shares { threshold: 3, count: 4 })];
        let (_, root, mut printed) = Hsm::initialize_with(deployment, &seals).unwrap();
        let unopened = Unopened::waiting("people", "ask the holders of its shares");
        let seals = Seals::development_file("nowhere".into());
        (Unsealing::new(deployment, root, seals, vec![unopened]), printed.pop().unwrap())
    }

    fn progress(have: usize) -> Offered {
        Offered::Progress { seal: "people".to_owned(), have, need: 3 }
    }

    #[tokio::test]
    async fn shares_come_one_at_a_time_and_open_it_together() {
        let (unsealing, printed) = waiting();
        assert!(unsealing.waits_for().ends_with("seal people: ask the holders of its shares"));
        assert_eq!(unsealing.offer_share(&printed[2], HERE).await, progress(1));
        assert_eq!(unsealing.offer_share(&printed[2], HERE).await, progress(1), "the same one again");
        let other = IpAddr::from([10, 0, 0, 9]);
        assert_eq!(unsealing.offer_share(&printed[0], other).await, progress(2));
        assert!(unsealing.waits_for().contains("2 of 3 shares are here"), "{}", unsealing.waits_for());
        assert_eq!(unsealing.status()["shares"][0]["have"], 2);
        assert_eq!(unsealing.offer_share(&printed[3], HERE).await, Offered::Opened { seal: "people".to_owned() });
        let opened = unsealing.wait().await;
        assert_eq!(opened.seal, "people");
        let brought = &opened.details["brought"];
        assert_eq!(brought[1], json!({ "share": 1, "from": "10.0.0.9" }));
        assert_eq!(brought.as_array().map(Vec::len), Some(3));
    }

    #[tokio::test]
    async fn a_wrong_share_is_named_and_does_not_count() {
        let (unsealing, printed) = waiting();
        let (_, foreign) = waiting();
        assert_eq!(unsealing.offer_share(&printed[0], HERE).await, progress(1));
        let Offered::Refused(why) = unsealing.offer_share(&foreign[1], HERE).await else { panic!("a foreign share counts") };
        assert!(why.contains("is of set"), "{why}");
        let mut mistyped = printed[1].clone();
        mistyped.replace_range(30..31, if &printed[1][30..31] == "a" { "b" } else { "a" });
        assert_eq!(unsealing.offer_share(&mistyped, HERE).await, Offered::Refused("line 2 of the share is mistyped".to_owned()));
        assert_eq!(unsealing.offer_share(&printed[1], HERE).await, progress(2));
        unsealing.offer_share(&printed[2], HERE).await;
        assert_eq!(unsealing.wait().await.details["refusedAttempts"], 2);
    }

    #[test]
    fn whoever_asks_is_not_told_of_libraries_and_the_operator_is() {
        let deployment = Uuid::from_u128(5);
        let seals = [("people".to_owned(), NewSeal::Shares { threshold: 3, count: 4 })];
        let (_, root, _) = Hsm::initialize_with(deployment, &seals).unwrap();
        let away = Unopened::away("vault", crate::problem::Problem::new("the library /opt/vendor/lib.so cannot be used"));
        let waiting = Unsealing::new(deployment, root, Seals::development_file("nowhere".into()), vec![away]);
        assert!(waiting.waits_for().ends_with("seal vault: the token has to answer again"), "{}", waiting.waits_for());
        assert!(!waiting.status().to_string().contains("/opt"));
        assert!(waiting.waits_for_and_why().ends_with("again (the library /opt/vendor/lib.so cannot be used)"));
    }

    #[tokio::test]
    async fn nobody_may_try_without_end() {
        let (unsealing, printed) = waiting();
        let wrong = Zeroizing::new("nonsense".to_owned());
        let mut refused = 0;
        while let Offered::Refused(_) = unsealing.offer_share(&wrong, HERE).await {
            refused += 1;
            assert!(refused < 1000, "without end");
        }
        assert_eq!(unsealing.offer_share(&wrong, HERE).await, Offered::TooOften);
        assert_eq!(unsealing.offer_share(&printed[0], HERE).await, progress(1), "what is right is taken");
        let other = IpAddr::from([10, 0, 0, 9]);
        assert!(matches!(unsealing.offer_share(&wrong, other).await, Offered::Refused(_)), "others still may");
        let passphrase = || Zeroizing::new("wrong".to_owned());
        assert_eq!(
            unsealing.offer_passphrase(None, passphrase(), other).await,
            Offered::Refused("no seal opens with a passphrase".to_owned())
        );
    }
}
