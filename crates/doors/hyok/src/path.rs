//! Which store, and what of it, a path is about. Source: AWS KMS External Keystore Proxy API Specification, "API operations".
//!
//! Paths are compared as they are sent: nothing is decoded or normalised, so that what was signed, what is looked up and what is in the audit log
//! is one text.

/// What a path is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path<'a> {
    /// The question of a load balancer.
    Ping,
    /// Something of the store at `store`.
    Store {
        /// The store's path: `/PREFIX/kms/xks/v1`.
        store: &'a str,
        /// What of it.
        what: What<'a>,
    },
    /// Nothing that is here.
    Unknown,
}

/// What of a store is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// `/keys/ID/metadata`.
    Metadata(&'a str),
    /// `/keys/ID/encrypt`.
    Encrypt(&'a str),
    /// `/keys/ID/decrypt`.
    Decrypt(&'a str),
    /// `/health`.
    Health,
}

impl<'a> Path<'a> {
    /// Reads a path. Read from its end, since a prefix may look like anything.
    pub(crate) fn parse(path: &'a str) -> Self {
        if path == "/ping" {
            return Self::Ping;
        }
        if let Some(store) = path.strip_suffix("/health") {
            return Self::Store { store, what: What::Health };
        }
        let mut parts = path.rsplitn(4, '/');
        let (Some(operation), Some(key), Some("keys"), Some(store)) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Self::Unknown;
        };
        match operation {
            "metadata" => Self::Store { store, what: What::Metadata(key) },
            "encrypt" => Self::Store { store, what: What::Encrypt(key) },
            "decrypt" => Self::Store { store, what: What::Decrypt(key) },
            _ => Self::Unknown,
        }
    }
}

/// Whether a path could be one of a request to a store: for fuzzing.
pub fn is_request_path(path: &str) -> bool {
    matches!(Path::parse(path), Path::Store { store, .. } if store.parse::<claviger_domain::StorePath>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let store = |store, what| Path::Store { store, what };
        for (path, expected) in [
            ("/ping", Path::Ping),
            ("/kms/xks/v1/health", store("/kms/xks/v1", What::Health)),
            ("/a/kms/xks/v1/keys/one/encrypt", store("/a/kms/xks/v1", What::Encrypt("one"))),
            ("/a/kms/xks/v1/keys/one/decrypt", store("/a/kms/xks/v1", What::Decrypt("one"))),
            ("/a/kms/xks/v1/keys/one/metadata", store("/a/kms/xks/v1", What::Metadata("one"))),
            ("/a/kms/xks/v1/keys/health", store("/a/kms/xks/v1/keys", What::Health)),
            ("/kms/xks/v1/keys/x/kms/xks/v1/keys/one/encrypt", store("/kms/xks/v1/keys/x/kms/xks/v1", What::Encrypt("one"))),
            ("/keys/health/keys/health/health", store("/keys/health/keys/health", What::Health)),
            ("/a/kms/xks/v1/keys//encrypt", store("/a/kms/xks/v1", What::Encrypt(""))),
            ("keys/one/encrypt", Path::Unknown),
            ("/kms/xks/v1/keys/one/Encrypt", Path::Unknown),
            ("/kms/xks/v1/keys/one/encrypt/", Path::Unknown),
            ("/kms/xks/v1/keys/one", Path::Unknown),
            ("/", Path::Unknown),
            ("", Path::Unknown),
            ("*", Path::Unknown),
        ] {
            assert_eq!(Path::parse(path), expected, "{path}");
        }
    }
}
