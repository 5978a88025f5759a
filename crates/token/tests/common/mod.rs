//! SoftHSM2 in a directory of its own, and hosts that are this very test program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use claviger_token::{Health, Launcher, Secret, Settings, Token, TokenName};

pub(crate) const PIN: &str = "4321";

/// Tokens in a directory that goes away with the value.
pub(crate) struct SoftHsm {
    pub(crate) directory: tempfile::TempDir,
}

impl SoftHsm {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tokens")).unwrap();
        let configuration = format!("directories.tokendir = {}\n", directory.path().join("tokens").display());
        std::fs::write(directory.path().join("softhsm2.conf"), configuration).unwrap();
        Self { directory }
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.directory.path().join("softhsm2.conf")
    }

    /// Makes a token.
    pub(crate) fn with(self, label: &str) -> Self {
        let made =
            self.tool("softhsm2-util", &["--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", PIN]);
        assert!(made.contains("has been initialized"), "{made}");
        self
    }

    /// Runs a program of SoftHSM2 or OpenSC on the tokens.
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let run = Command::new(program).args(arguments).env("SOFTHSM2_CONF", self.configuration()).output();
        let output = run.unwrap_or_else(|error| {
            panic!("{program}: {error}. These tests use a software token: install SoftHSM2 and OpenSC ('apt install softhsm2 opensc')")
        });
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// pkcs11-tool, logged in.
    #[allow(dead_code, reason = "each test program takes what it needs")]
    pub(crate) fn pkcs11_tool(&self, label: &str, arguments: &[&str]) -> String {
        let library = library();
        let mut all = vec!["--module", library.to_str().unwrap(), "--token-label", label, "--login", "--pin", PIN];
        all.extend(arguments);
        self.tool("pkcs11-tool", &all)
    }

    pub(crate) fn settings(&self, label: &str) -> Settings {
        Settings {
            name: label.to_owned(),
            library: library(),
            token: TokenName::Label { label: label.to_owned() },
            sessions: 4,
            environment: BTreeMap::from([("SOFTHSM2_CONF".to_owned(), self.configuration().display().to_string())]),
            timeout: Duration::from_secs(5),
        }
    }

    /// Starts a client, and waits until it knows how its token is.
    pub(crate) async fn open(&self, label: &str) -> Token {
        start(self.settings(label), PIN).await
    }
}

pub(crate) async fn start(settings: Settings, pin: &'static str) -> Token {
    let pin = Arc::new(move || Ok(Secret::new(pin.as_bytes().to_vec())));
    let token = Token::start(settings, launcher(), pin);
    assert!(!matches!(token.settled(Duration::from_secs(30)).await, Health::Starting), "it neither opens nor fails");
    token
}

/// A host is this program, which runs one test alone: see `the_host_process`.
pub(crate) fn launcher() -> Launcher {
    let arguments = ["--exact", "the_host_process", "--ignored", "--nocapture", "--quiet"];
    Launcher {
        program: std::env::current_exe().unwrap(),
        arguments: arguments.iter().map(Into::into).collect(),
        hidden: vec!["CLAVIGER_TEST_HIDDEN".into()],
    }
}

fn library() -> PathBuf {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"];
    let found = places.iter().map(Path::new).find(|place| place.exists());
    found.expect("these tests use a software token: install SoftHSM2 ('apt install softhsm2 opensc')").to_owned()
}
