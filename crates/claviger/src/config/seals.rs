//! The tables `[seal.*]`: what wraps the root key at rest, in the order in which the seals are tried.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use claviger_token::TokenName;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::passphrase::RawSource;
use super::{PassphraseSource, TokenConfig};
use crate::seals::TokenSeal;

/// The seals: what wraps the root key at rest. Tried in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seals(Vec<NamedSeal>);

/// A seal and its name, under which the deployment knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSeal {
    /// 1 to 64 of `a-z`, `0-9` and `-`; by default the kind, with `-` for `_`.
    pub name: String,
    /// What it is.
    pub seal: Seal,
}

/// One seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal {
    /// A passphrase, stretched with argon2id.
    Passphrase(PassphraseSource),
    /// A key in a plain file, for development only: whoever reads the disk reads the keys.
    DevelopmentFile(PathBuf),
    /// Shares that people keep and bring; how many there shall be, which only `claviger init` has to know.
    Shares(Option<Sharing>),
    /// A key in a PKCS#11 token, which never leaves it.
    Pkcs11(TokenSeal),
}

/// How many shares there are, and how many of them open the seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// How many open it.
    pub threshold: u8,
    /// How many there are.
    pub count: u8,
}

const TABLES: &[&str] = &["passphrase", "development_file", "shares", "pkcs11"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PassphraseTable {
    name: Option<String>,
    file: Option<PathBuf>,
    environment: Option<String>,
    systemd_credential: Option<String>,
    prompt: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DevelopmentFileTable {
    name: Option<String>,
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenTable {
    name: Option<String>,
    library: PathBuf,
    token: Option<String>,
    serial: Option<String>,
    key: String,
    pin: PassphraseSource,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SharesTable {
    name: Option<String>,
    threshold: Option<u8>,
    shares: Option<u8>,
}

impl Seals {
    /// One development seal, under the name that it has where no configuration says otherwise.
    pub fn development_file(path: PathBuf) -> Self {
        Self(vec![NamedSeal { name: "development-file".to_owned(), seal: Seal::DevelopmentFile(path) }])
    }

    /// The same with one more, unless there is one of that name.
    #[must_use]
    pub fn and(mut self, more: NamedSeal) -> Self {
        match self.0.iter_mut().find(|seal| seal.name == more.name) {
            Some(seal) => *seal = more,
            None => self.0.push(more),
        }
        self
    }

    /// The seals, at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Seal> {
        self.0.iter().map(|named| &named.seal)
    }

    /// The seals with their names.
    pub fn named(&self) -> &[NamedSeal] {
        &self.0
    }

    /// The environment variables that hold their secrets.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(|seal| match seal {
            Seal::Passphrase(source) => source.variable(),
            Seal::Pkcs11(seal) => seal.token.pin.variable(),
            Seal::DevelopmentFile(_) | Seal::Shares(_) => None,
        })
    }

    /// The files that hold their secrets.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        self.iter().filter_map(|seal| match seal {
            Seal::DevelopmentFile(path) => Some(path.as_path()),
            Seal::Passphrase(source) => source.file(),
            Seal::Pkcs11(seal) => seal.token.pin.file(),
            Seal::Shares(_) => None,
        })
    }

    /// Keeps these environment variables from the libraries of their tokens.
    pub(super) fn hide(&mut self, variables: &[String]) {
        for named in &mut self.0 {
            if let Seal::Pkcs11(seal) = &mut named.seal {
                seal.hide(variables);
            }
        }
    }

    /// Every path in them, to be anchored.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.0.iter_mut().filter_map(|named| match &mut named.seal {
            Seal::DevelopmentFile(path) | Seal::Passphrase(PassphraseSource::File(path)) => Some(path),
            Seal::Pkcs11(TokenSeal { token: TokenConfig { pin: PassphraseSource::File(path), .. }, .. }) => Some(path),
            Seal::Pkcs11(_) => None,
            Seal::Passphrase(_) | Seal::Shares(_) => None,
        })
    }
}

impl<'de> Deserialize<'de> for Seals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = Seals;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tables of seals, such as [seal.passphrase]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seals, A::Error> {
                let mut seals: Vec<NamedSeal> = Vec::new();
                while let Some(table) = map.next_key::<String>()? {
                    let read = match table.as_str() {
                        "passphrase" => passphrases(map.next_value()?)?,
                        "development_file" => development_files(map.next_value()?),
                        "shares" => shares(map.next_value()?)?,
                        "pkcs11" => token_seals(map.next_value()?)?,
                        other => return Err(de::Error::unknown_field(other, TABLES)),
                    };
                    let default = table.replace('_', "-");
                    for (name, seal) in read {
                        let name = checked_name(name.unwrap_or_else(|| default.clone()))?;
                        if seals.iter().any(|known| known.name == name) {
                            return Err(de::Error::custom(format!(
                                "two seals are named {name}: give one of them another `name`"
                            )));
                        }
                        seals.push(NamedSeal { name, seal });
                    }
                }
                if seals.is_empty() {
                    return Err(de::Error::custom(
                        "a seal is needed: [seal.passphrase], [seal.pkcs11], [seal.shares], or [seal.development_file]",
                    ));
                }
                Ok(Seals(seals))
            }
        }

        deserializer.deserialize_map(Tables)
    }
}

type Read = Vec<(Option<String>, Seal)>;

fn passphrases<E: de::Error>(tables: OneOrMany<PassphraseTable>) -> Result<Read, E> {
    let read = |table: PassphraseTable| {
        let PassphraseTable { name, file, environment, systemd_credential, prompt } = table;
        let source = RawSource { file, environment, systemd_credential, prompt };
        Ok((name, Seal::Passphrase(source.try_into().map_err(E::custom)?)))
    };
    tables.0.into_iter().map(read).collect()
}

fn development_files(tables: OneOrMany<DevelopmentFileTable>) -> Read {
    tables.0.into_iter().map(|table| (table.name, Seal::DevelopmentFile(table.path))).collect()
}

fn shares<E: de::Error>(tables: OneOrMany<SharesTable>) -> Result<Read, E> {
    let read = |table: SharesTable| match (table.threshold, table.shares) {
        (Some(threshold), Some(count)) => Ok((table.name, Seal::Shares(Some(Sharing { threshold, count })))),
        (None, None) => Ok((table.name, Seal::Shares(None))),
        _ => Err(E::custom("`threshold` and `shares` go together: how many open the seal, and how many there are")),
    };
    tables.0.into_iter().map(read).collect()
}

fn token_seals<E: de::Error>(tables: OneOrMany<TokenTable>) -> Result<Read, E> {
    let read = |table: TokenTable| {
        let token = match (table.token, table.serial) {
            (Some(label), None) => TokenName::Label { label },
            (None, Some(serial)) => TokenName::Serial { serial },
            _ => return Err(E::custom("the token of a seal is named by exactly one of `token` (its label) and `serial`")),
        };
        let seal = TokenSeal::new(table.library, token, table.key, table.pin, table.environment);
        Ok((table.name, Seal::Pkcs11(seal)))
    };
    tables.0.into_iter().map(read).collect()
}

fn checked_name<E: de::Error>(name: String) -> Result<String, E> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits { Ok(name) } else { Err(E::custom("the name of a seal has 1 to 64 of a-z, 0-9 and -")) }
}

/// `[seal.passphrase]`, or `[[seal.passphrase]]` for several of one kind.
struct OneOrMany<T>(Vec<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table, or a list of tables")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany<T>, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = list.next_element()? {
                    many.push(one);
                }
                Ok(OneOrMany(many))
            }
        }

        deserializer.deserialize_any(Either(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Seal)>, String> {
        #[derive(Deserialize)]
        struct File {
            seal: Seals,
        }
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Ok(file.seal.0.into_iter().map(|named| (named.name, named.seal)).collect())
    }

    fn file(path: &str) -> Seal {
        Seal::DevelopmentFile(path.into())
    }

    fn passphrase(variable: &str) -> Seal {
        Seal::Passphrase(PassphraseSource::Environment(variable.to_owned()))
    }

    #[test]
    fn seals_are_tried_in_the_order_of_the_file() {
        let one = "[seal.passphrase]\nenvironment = \"A\"\n";
        let other = "[seal.development_file]\npath = \"f\"\n";
        let (first, second) = (("passphrase".to_owned(), passphrase("A")), ("development-file".to_owned(), file("f")));
        assert_eq!(read(&format!("{one}{other}")).unwrap(), [first.clone(), second.clone()]);
        assert_eq!(read(&format!("{other}{one}")).unwrap(), [second, first]);
    }

    #[test]
    fn several_of_a_kind_have_names_of_their_own() {
        let two = "[[seal.passphrase]]\nenvironment = \"A\"\n[[seal.passphrase]]\nname = \"office\"\nenvironment = \"B\"\n";
        let expected = [("passphrase".to_owned(), passphrase("A")), ("office".to_owned(), passphrase("B"))];
        assert_eq!(read(two).unwrap(), expected);
        let same = two.replace("office", "passphrase");
        assert!(read(&same).unwrap_err().contains("two seals are named passphrase"));
        let other_kind = format!("{two}[seal.development_file]\nname = \"office\"\npath = \"f\"\n");
        assert!(read(&other_kind).unwrap_err().contains("two seals are named office"));
    }

    #[test]
    fn shares_say_how_many_there_are_or_nothing() {
        let sharing = Sharing { threshold: 3, count: 5 };
        assert_eq!(read("[seal.shares]\n").unwrap(), [("shares".to_owned(), Seal::Shares(None))]);
        let text = "[seal.shares]\nname = \"people\"\nthreshold = 3\nshares = 5\n";
        assert_eq!(read(text).unwrap(), [("people".to_owned(), Seal::Shares(Some(sharing)))]);
    }

    #[test]
    fn what_is_no_seal_is_refused() {
        for (text, expected) in [
            ("[seal]\n", "a seal is needed"),
            ("[[seal.passphrase]]\nenvironment = \"A\"\nx = 1\n", "unknown field `x`"),
            ("[seal.pass]\nfile = \"A\"\n", "unknown field `pass`, expected"),
            ("[seal.passphrase]\nname = \"Office\"\nfile = \"A\"\n", "1 to 64 of a-z"),
            ("[seal.passphrase]\nname = \"\"\nfile = \"A\"\n", "1 to 64 of a-z"),
            ("[seal.shares]\nthreshold = 3\n", "go together"),
            ("[seal]\npassphrase = 5\n", "a table, or a list of tables"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
