//! The real binary, driven as a person would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use claviger::client::{Client, Credentials, Target};
use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_claviger");
/// Long enough for a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command in an environment without settings of its own.
fn claviger(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A server that is stopped when the test ends, however it ends.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Stops it as an operator would. It has to end well.
    fn stop(mut self) {
        self.signal(Signal::TERM);
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone after a regular stop.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `claviger dev` with the lines that it prints, once it serves.
fn start_dev(data: &Path) -> (Running, Vec<String>) {
    let data = data.to_str().unwrap();
    let mut child = claviger(&["dev", "--data", data, "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(3).map(Result::unwrap).collect();
    (Running(child), lines)
}

/// The variables of a dev.env file.
fn environment(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap();
    let exports = text.lines().filter_map(|line| line.strip_prefix("export "));
    exports.map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()).collect()
}

/// Makes a key as any client of AWS KMS would.
fn create_key(variables: &[(String, String)]) -> String {
    let value = |name: &str| variables.iter().find(|(found, _)| found == name).unwrap().1.clone();
    let credentials = Credentials {
        access_key: value("AWS_ACCESS_KEY_ID"),
        secret: value("AWS_SECRET_ACCESS_KEY").into(),
        session_token: None,
    };
    let client = Client::new(value("AWS_ENDPOINT_URL_KMS").parse().unwrap(), credentials, value("AWS_REGION"), None).unwrap();
    let target = Target { service: "kms", prefix: "TrentService", operation: "CreateKey" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer: serde_json::Value = runtime.block_on(client.call(target, &serde_json::json!({}))).unwrap();
    answer["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn dev_serves_a_deployment_that_outlives_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("dev");
    let (server, lines) = start_dev(&data);
    let env_file = data.join("dev.env");
    assert_eq!(lines[0], format!("source {}", env_file.display()));
    assert!(lines[1].contains("aws kms create-key") && lines[2].contains("aws kms encrypt"), "{lines:?}");
    assert_eq!((mode(&env_file), mode(&data), mode(&data.join("seal.key"))), (0o600, 0o700, 0o600));
    let variables = environment(&env_file);
    let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_STS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
        assert!(names.contains(&name), "{name}");
    }

    let ask = |arguments: &[&str]| {
        let output = run(claviger(arguments).envs(variables.clone()));
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(ask(&["status"]).contains("Node          dev"));
    assert!(ask(&["account", "list"]).contains("123456789012  "));
    let account = ask(&["account", "create", "payroll", "--id", "111122223333"]);
    assert!(account.contains("RootSecretAccessKey"), "{account}");
    ask(&["user", "create", "alice", "--account", "111122223333"]);
    let policy = directory.path().join("policy.json");
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#;
    fs::write(&policy, document).unwrap();
    let alice = ["--user", "alice", "--account", "111122223333"];
    let with = |words: &[&'static str]| words.iter().copied().chain(alice).collect::<Vec<_>>();
    let put = [&["policy", "put", policy.to_str().unwrap(), "--name", "all"][..], &alice].concat();
    ask(&put);
    assert_eq!(ask(&with(&["policy", "get", "--name", "all"])).trim(), document);
    assert_eq!(ask(&with(&["policy", "list"])).trim(), "all");
    let key: serde_json::Value = serde_json::from_str(&ask(&with(&["access-key", "create", "--json"]))).unwrap();
    let id = key["AccessKeyId"].as_str().unwrap();
    ask(&["access-key", "deactivate", id, "--account", "111122223333"]);
    assert!(ask(&with(&["access-key", "list"])).contains("Inactive"));
    ask(&["access-key", "activate", id, "--account", "111122223333"]);
    ask(&["access-key", "delete", id, "--account", "111122223333"]);
    ask(&with(&["policy", "delete", "--name", "all"]));
    ask(&["user", "delete", "alice", "--account", "111122223333"]);

    let refused = run(claviger(&["user", "delete", "alice", "--account", "111122223333"]).envs(variables.clone()));
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).starts_with("claviger: the server refused: "), "{}", text(&refused.stderr));

    // The store is looked at beside the server, and again when another one has it.
    let place = ["--data", data.to_str().unwrap()];
    let vkey = fs::read_to_string(data.join("audit-dev.vkey")).unwrap();
    ask(&[&["audit", "verify", "--vkey", vkey.trim()][..], &place].concat());
    assert!(ask(&[&["audit", "tail", "-n", "3"][..], &place].concat()).contains("DeleteUser"));
    let export = directory.path().join("export");
    ask(&[&["audit", "export", export.to_str().unwrap()][..], &place].concat());
    let checkpoint = export.join("checkpoint");
    assert!(ask(&[&["store", "verify"][..], &place].concat()).contains("Everything fits."));
    server.stop();

    let (server, _) = start_dev(&data);
    let again = environment(&env_file);
    let value = |variables: &[(String, String)], name: &str| variables.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!(value(&again, "AWS_SECRET_ACCESS_KEY"), value(&variables, "AWS_SECRET_ACCESS_KEY"));
    let output = run(claviger(&["account", "list"]).envs(again));
    assert!(text(&output.stdout).contains("payroll"), "{}", text(&output.stderr));
    ask(&[&["audit", "verify", "--checkpoint", checkpoint.to_str().unwrap()][..], &place].concat());
    server.stop();
}

#[test]
fn files_are_encrypted_and_decrypted_through_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _) = start_dev(&directory.path().join("dev"));
    let variables = environment(&directory.path().join("dev/dev.env"));
    let key = create_key(&variables);
    let key = key.as_str();
    let in_directory = |arguments: &[&str]| {
        let mut command = claviger(arguments);
        command.envs(variables.clone()).current_dir(directory.path());
        command
    };
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(directory.path().join("plain"), &content).unwrap();
    let made = run(&mut in_directory(&["encrypt", "plain", "--key", key]));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let encrypted = directory.path().join("plain.claviger");
    assert_eq!(mode(&encrypted), 0o600);

    let refused = run(&mut in_directory(&["decrypt", "plain.claviger"]));
    assert!(!refused.status.success() && text(&refused.stderr).contains("--force"), "{}", text(&refused.stderr));
    assert!(run(&mut in_directory(&["decrypt", "plain.claviger", "-o", "back"])).status.success());
    assert_eq!(fs::read(directory.path().join("back")).unwrap(), content);
    assert_eq!(mode(&directory.path().join("back")), 0o600);

    let piped = run(&mut in_directory(&["decrypt", "plain.claviger", "-o", "-"]));
    assert_eq!(piped.stdout, content);
    let mut through = in_directory(&["encrypt", "-", "--key", key]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    through.stdin.take().unwrap().write_all(b"piped").unwrap();
    fs::write(directory.path().join("piped"), through.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(run(&mut in_directory(&["decrypt", "piped", "-o", "-"])).stdout, b"piped");

    // What is damaged leaves nothing behind.
    let bytes = fs::read(&encrypted).unwrap();
    for (name, damaged) in [("cut", &bytes[..bytes.len() - 100]), ("header", &[&bytes[..60], b"!", &bytes[61..]].concat()[..])] {
        fs::write(directory.path().join(name), damaged).unwrap();
        let output = run(&mut in_directory(&["decrypt", name, "-o", "result"]));
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(text(&output.stderr).starts_with(&format!("claviger: {name}: ")), "{}", text(&output.stderr));
        let left: Vec<PathBuf> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.iter().all(|path| !path.to_str().unwrap().contains("result")), "{left:?}");
    }
    let missing = run(&mut in_directory(&["encrypt", "plain", "--key", "alias/none", "-o", "x"]));
    assert!(text(&missing.stderr).contains("NotFoundException") && !directory.path().join("x").exists());
    server.stop();
}

#[test]
fn dev_refuses_to_be_reached_from_elsewhere_and_names_a_taken_port() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("dev");
    let output = run(&mut claviger(&["dev", "--data", data.to_str().unwrap(), "--listen", "0.0.0.0:0"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("on this machine only"), "{}", text(&output.stderr));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&mut claviger(&["dev", "--data", data.to_str().unwrap(), "--listen", &address]));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&address) && text(&output.stderr).contains("--listen"), "{}", text(&output.stderr));
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn without_a_server_or_credentials_commands_say_what_to_do() {
    let output = run(&mut claviger(&["status"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("CLAVIGER_ENDPOINT"), "{}", text(&output.stderr));
    for command in [&["audit", "verify"][..], &["audit", "tail"], &["store", "verify"]] {
        let output = run(claviger(command).env("CLAVIGER_CONFIG", ""));
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("--config"), "{}", text(&output.stderr));
    }
    let nobody = ["status", "--endpoint", "http://127.0.0.1:1"];
    let output = run(&mut claviger(&nobody));
    assert!(text(&output.stderr).contains("CLAVIGER_ADMIN_ACCESS_KEY_ID"), "{}", text(&output.stderr));
    let output = run(claviger(&nobody).envs([("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "x")]));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot reach the server at http://127.0.0.1:1"), "{}", text(&output.stderr));
}

/// A configured deployment with TLS, a passphrase, and free ports.
struct Site {
    directory: tempfile::TempDir,
    config: PathBuf,
    doors: SocketAddr,
    observability: SocketAddr,
}

fn write_certificate(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(directory.join("certificate.pem"), made.cert.pem()).unwrap();
    fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(directory.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_certificate(directory.path());
        fs::write(directory.path().join("passphrase"), "correct horse battery staple\n").unwrap();
        fs::set_permissions(directory.path().join("passphrase"), fs::Permissions::from_mode(0o600)).unwrap();
        let (doors, observability) = (free_address(), free_address());
        let config = directory.path().join("claviger.toml");
        let text = format!(
            "node = \"one\"\ndata = \"data\"\nlisten = [\"{doors}\"]\nregions = [\"us-east-1\"]\n\
             [tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n\
             [seal.passphrase]\nfile = \"passphrase\"\n\
             [observability]\nlisten = \"{observability}\"\n\
             [log]\nformat = \"json\"\nrequests = true\n"
        );
        fs::write(&config, text).unwrap();
        Self { directory, config, doors, observability }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = claviger(words);
        command.args(["--config", self.config.to_str().unwrap()]);
        command
    }

    fn serve(&self) -> Running {
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        let server = Running(self.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let end = Instant::now() + PATIENCE;
        while !self.readiness().starts_with("HTTP/1.1 200") {
            assert!(Instant::now() < end, "it does not get ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn readiness(&self) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(self.observability) {
            stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            stream.read_to_string(&mut answer).unwrap();
        }
        answer
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    fn status(&self, credentials: &[(String, String)], certificate: &Path) -> Output {
        run(self.client(&["status"], certificate).envs(credentials.to_vec()))
    }

    /// A command that asks the server, and trusts this certificate.
    fn client(&self, arguments: &[&str], certificate: &Path) -> Command {
        let mut command = claviger(arguments);
        command.args(["--endpoint", &format!("https://localhost:{}", self.doors.port())]);
        command.arg("--ca").arg(certificate).current_dir(self.directory.path());
        command
    }
}

#[test]
fn a_configured_server_speaks_tls_and_takes_up_a_new_certificate_on_sighup() {
    let site = Site::new();
    let missing = run(&mut site.command(&["serve"]));
    assert!(text(&missing.stderr).contains("claviger init"), "{}", text(&missing.stderr));

    let made = run(&mut site.command(&["init"]));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let credentials: Vec<(String, String)> = text(&made.stdout)
        .lines()
        .map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
        .collect();
    assert_eq!(credentials.len(), 3);
    let twice = run(&mut site.command(&["init"]));
    assert!(text(&twice.stderr).contains("holds a deployment already"), "{}", text(&twice.stderr));

    let server = site.serve();
    let certificate = site.directory.path().join("certificate.pem");
    let old = site.directory.path().join("old.pem");
    fs::copy(&certificate, &old).unwrap();
    let status = site.status(&credentials, &old);
    assert!(text(&status.stdout).contains("Node          one"), "{}", text(&status.stderr));

    // Keys are of a Region, administration is not.
    let elsewhere = [credentials.clone(), vec![("AWS_REGION".to_owned(), "eu-west-1".to_owned())]].concat();
    assert!(site.status(&elsewhere, &old).status.success());
    let refused = run(site
        .client(&["encrypt", "passphrase", "--key", "alias/none", "-o", "-"], &old)
        .envs(elsewhere.into_iter().map(|(name, value)| (name.replace("CLAVIGER_ADMIN", "AWS"), value))));
    assert!(text(&refused.stderr).contains("--region"), "{}", text(&refused.stderr));

    write_certificate(site.directory.path());
    server.signal(Signal::HUP);
    let end = Instant::now() + PATIENCE;
    while !site.status(&credentials, &certificate).status.success() {
        assert!(Instant::now() < end, "the new certificate is not used: {}", site.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let distrusted = site.status(&credentials, &old);
    assert!(text(&distrusted.stderr).contains("--ca"), "{}", text(&distrusted.stderr));

    let doctor = run(&mut site.command(&["doctor"]));
    let findings = text(&doctor.stdout);
    assert!(findings.contains("ok       the server is ready") && !findings.contains("WRONG"), "{findings}");
    fs::set_permissions(site.directory.path().join("passphrase"), fs::Permissions::from_mode(0o644)).unwrap();
    let doctor = run(&mut site.command(&["doctor"]));
    assert_eq!(doctor.status.code(), Some(1));
    assert!(text(&doctor.stdout).contains("chmod 0600"), "{}", text(&doctor.stdout));

    server.stop();
    let log = site.log();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let request = lines.iter().find(|line| line["path"] == "/").expect("requests are logged");
    assert_eq!((request["status"].as_u64(), request["request_id"].as_str().map(str::len)), (Some(200), Some(36)));
    let doctor = run(&mut site.command(&["doctor"]));
    assert!(text(&doctor.stdout).contains("claviger serve"), "{}", text(&doctor.stdout));
}

#[test]
fn a_wrong_passphrase_and_a_wrong_configuration_are_named() {
    let site = Site::new();
    assert!(run(&mut site.command(&["init"])).status.success());
    fs::write(site.directory.path().join("passphrase"), "wrong").unwrap();
    let output = run(&mut site.command(&["serve"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("seal \"passphrase\""), "{}", text(&output.stderr));
    let mut text_of_config = fs::read_to_string(&site.config).unwrap();
    text_of_config.push_str("colour = true\n");
    fs::write(&site.config, text_of_config).unwrap();
    let output = run(&mut site.command(&["serve"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("line 15: unknown field `colour`"), "{}", text(&output.stderr));
}
