//! Where proxies are: a tenant names the host, and must not be able to make this deployment knock at any door.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use claviger_domain::AccountId;
use claviger_domain::hyok::subject_matches;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::failure::Failure;

/// The port of every proxy that the configuration does not say anything of.
const PORT: u16 = 443;
/// Names that are looked up at the same time. Each keeps a thread for as long as the system's resolver waits for an answer, whoever has given up meanwhile.
const LOOKUPS_MAX: usize = 96;
/// Of these, those of one account: others must not wait for a name server that does not answer.
const LOOKUPS_OF_ACCOUNT_MAX: usize = 8;

/// Finds hosts.
pub(crate) struct Places {
    addresses: BTreeMap<String, SocketAddr>,
    hosts: Vec<String>,
    lookups: Arc<Semaphore>,
    /// Accounts that have looked up anything: as many as have external key stores.
    of_accounts: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

impl Places {
    pub(crate) fn new(addresses: BTreeMap<String, SocketAddr>, hosts: Vec<String>) -> Self {
        Self { addresses, hosts, lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)), of_accounts: Mutex::default() }
    }

    /// Where a host is that a store of this account names.
    pub(crate) async fn of(&self, account: AccountId, host: &str) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(address) = self.addresses.get(host) {
            return Ok(vec![*address]);
        }
        if !self.hosts.is_empty() && !self.hosts.iter().any(|pattern| subject_matches(pattern, host)) {
            tracing::warn!(host, %account, "an external key store names a host that [external_key_stores] hosts does not allow");
            return Err(Failure::NotAllowed);
        }
        let mut found = self.look_up(account, host).await?;
        let all = found.len();
        found.retain(|address| is_elsewhere(address.ip()));
        if found.is_empty() && all > 0 {
            tracing::warn!(
                host,
                %account,
                "an external key store names this machine, or its own link: if that is meant, say so in [external_key_stores] addresses"
            );
        }
        if found.is_empty() { Err(Failure::Unreachable) } else { Ok(found) }
    }

    async fn look_up(&self, account: AccountId, host: &str) -> Result<Vec<SocketAddr>, Failure> {
        let of_account = Arc::clone(
            self.of_accounts.lock().entry(account).or_insert_with(|| Arc::new(Semaphore::new(LOOKUPS_OF_ACCOUNT_MAX))),
        );
        let turn = of_account.acquire_owned().await.map_err(|_| Failure::Unreachable)?;
        let room = Arc::clone(&self.lookups).acquire_owned().await.map_err(|_| Failure::Unreachable)?;
        let host = host.to_owned();
        // A task of its own: whoever waits gives up after the time-out, and the thread does not.
        let looked_up = tokio::spawn(async move {
            let found = tokio::net::lookup_host((host.as_str(), PORT)).await.map(Iterator::collect);
            drop((turn, room));
            found
        });
        looked_up.await.map_err(|_| Failure::Unreachable)?.map_err(|_| Failure::Unreachable)
    }
}

/// Not this machine, nor what only its own link reaches: what cloud machines have there gives away their secrets.
fn is_elsewhere(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first != 0 && !(v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountId {
        "111122223333".parse().unwrap()
    }

    #[test]
    fn this_machine_and_its_link_are_no_place_for_a_proxy() {
        for (address, expected) in [
            ("192.0.2.1", true),
            ("10.1.2.3", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("169.254.169.254", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_elsewhere(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn only_what_the_configuration_names_may_be_here() {
        let here: SocketAddr = "127.0.0.1:9443".parse().unwrap();
        let places = Places::new([("proxy.example.com".to_owned(), here)].into(), Vec::new());
        assert_eq!(places.of(account(), "proxy.example.com").await, Ok(vec![here]));
        for host in ["127.0.0.1", "localhost", "169.254.169.254", "0.0.0.0"] {
            assert_eq!(places.of(account(), host).await, Err(Failure::Unreachable), "{host}");
        }
        assert_eq!(places.of(account(), "192.0.2.7").await, Ok(vec!["192.0.2.7:443".parse().unwrap()]));
    }

    #[tokio::test]
    async fn hosts_that_are_not_allowed_are_not_looked_up() {
        let here: SocketAddr = "127.0.0.1:9443".parse().unwrap();
        let hosts = vec!["*.proxies.example.com".to_owned(), "192.0.2.7".to_owned()];
        let places = Places::new([("named.example.com".to_owned(), here)].into(), hosts);
        for host in ["192.0.2.8", "proxies.example.com", "one.proxies.example.com.evil.example"] {
            assert_eq!(places.of(account(), host).await, Err(Failure::NotAllowed), "{host}");
        }
        assert_eq!(places.of(account(), "192.0.2.7").await, Ok(vec!["192.0.2.7:443".parse().unwrap()]));
        assert_eq!(places.of(account(), "named.example.com").await, Ok(vec![here]));
    }

    #[tokio::test]
    async fn one_account_cannot_take_all_threads_for_names() {
        let places = Places::new(BTreeMap::new(), Vec::new());
        places.of(account(), "192.0.2.7").await.unwrap();
        // As if its name servers did not answer.
        let of_account = Arc::clone(places.of_accounts.lock().get(&account()).unwrap());
        let stuck = of_account.acquire_many_owned(u32::try_from(LOOKUPS_OF_ACCOUNT_MAX).unwrap()).await.unwrap();
        let waiting = places.of(account(), "192.0.2.7");
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, waiting).await.is_err(), "it waits for its own");
        assert!(places.of("444455556666".parse().unwrap(), "192.0.2.7").await.is_ok(), "and others do not");
        drop(stuck);
        assert!(places.of(account(), "192.0.2.7").await.is_ok());
    }
}
