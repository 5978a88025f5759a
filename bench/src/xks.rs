//! What AWS KMS asks of an external key store: its cost beside the bare server, both in TLS; and whether 1,800 requests a second can be kept up.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use claviger_domain::Timestamp;
use claviger_sigv4::{Signer, SigningKey};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;

use crate::Plan;
use crate::connection::Connection;
use crate::failure::{Context as _, Failure};
use crate::load::{Generator, Tally, Until};
use crate::operations::{BAR_CONNECTIONS, Side};
use crate::report::{Report, Table};
use crate::server::{Binaries, Server, free_address};
use crate::tls::ServerFiles;

/// What AWS KMS asks for at most, unless somebody has it raised. Source: AWS KMS External Keystore Proxy API Specification, "GetHealthStatus".
const RATE_PER_SECOND: u32 = 1800;
const POOL: usize = 64;
const TURNS: u32 = 3;
const STORE: &str = "bench";

/// A deployment that serves a store, and what AWS KMS knows of it.
struct Site {
    server: Server,
    tls: TlsConnector,
    files: ServerFiles,
    path: String,
    access_key: String,
    secret: String,
}

/// Measures Encrypt and Decrypt, and puts their bars into the report.
pub(crate) async fn measure(plan: &Plan, binaries: &Binaries, scratch: &Path, report: &mut Report) -> Result<(), Failure> {
    let site = Site::open(binaries, &scratch.join("xks")).await?;
    let columns = ["operation", "requests/s", "p50 ms", "p99 ms", "CPU \u{b5}s", "bare CPU \u{b5}s", "CPU ratio"];
    let table = Table::new(&columns);
    println!("## External key store over TLS, {BAR_CONNECTIONS} connections\n\n{}", table.head());
    for operation in ["encrypt", "decrypt"] {
        let bodies = site.bodies(operation).await?;
        let bare = site.bare_like(binaries, scratch, operation, &bodies).await?;
        let mut claviger = site.side(&site.server, site.requests(operation, &bodies)?).await?;
        let mut beside = site.side(&bare, site.requests(operation, &bodies)?).await?;
        claviger.warm_up().await?;
        beside.warm_up().await?;
        for _ in 0..TURNS {
            claviger.take_turn(Until::Elapsed(plan.duration() / TURNS)).await?;
            beside.take_turn(Until::Elapsed(plan.duration() / TURNS / 2)).await?;
        }
        let ratio = claviger.cpu_us() / beside.cpu_us();
        let cells = [
            operation.to_owned(),
            format!("{:.0}", claviger.tally.per_second()),
            format!("{:.2}", claviger.tally.quantile_ms(0.5)),
            format!("{:.2}", claviger.tally.quantile_ms(0.99)),
            format!("{:.1}", claviger.cpu_us()),
            format!("{:.1}", beside.cpu_us()),
            format!("{ratio:.2}"),
        ];
        println!("{}", table.row(&cells));
        let got = format!("{ratio:.2}x ({:.1} \u{b5}s against {:.1} \u{b5}s)", claviger.cpu_us(), beside.cpu_us());
        let what = format!("XKS {operation}, {BAR_CONNECTIONS} connections in TLS, durable audit: CPU per request");
        report.bar(what, "\u{2264} 2x the bare server in TLS", got, ratio <= 2.0);
    }
    site.sustain(Duration::from_secs_f64(plan.xks_seconds), report).await
}

impl Site {
    async fn open(binaries: &Binaries, directory: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(directory).context("cannot make a directory")?;
        let (files, tls) = ServerFiles::make(directory)?;
        let (main, hyok) = (free_address()?, free_address()?);
        let config = directory.join("claviger.toml");
        let text = format!(
            "node = \"bench\"\ndata = \"data\"\nlisten = [\"{main}\"]\nregions = \"any\"\n[seal.passphrase]\nenvironment = \
             \"BENCH_PASSPHRASE\"\n[hyok]\nlisten = [\"{hyok}\"]\ntls = {{ certificate = \"certificate.pem\", key = \"key.pem\" }}\n"
        );
        std::fs::write(&config, text).context("cannot write a configuration")?;
        let claviger = |arguments: &[&str]| {
            let mut command = Command::new(&binaries.claviger);
            command.args(arguments).env("BENCH_PASSPHRASE", "a passphrase for the benchmark").env("CLAVIGER_CONFIG", &config);
            command.env("CLAVIGER_ENDPOINT", format!("http://{main}")).env("AWS_REGION", "us-east-1");
            command
        };
        let credentials = directory.join("administrator.env");
        let credentials_text = credentials.display().to_string();
        run(claviger(&["init", "--config", &config.display().to_string(), "--credentials", &credentials_text]))?;
        let administrator = std::fs::read_to_string(&credentials).context("cannot read the administrator's credentials")?;
        let administrator: Vec<(&str, &str)> = administrator
            .lines()
            .filter_map(|line| line.trim_start_matches("export ").split_once('='))
            .filter(|(name, _)| name.starts_with("CLAVIGER_ADMIN"))
            .collect();
        let server = Server::accepting(claviger(&["serve"]), directory.join("server.log"), hyok).await?;
        let mut create = claviger(&["account", "create", "bench", "--json"]);
        create.envs(administrator);
        let account = answer(create)?;
        let tenant = |arguments: &[&str]| {
            let mut command = claviger(arguments);
            command.env("AWS_ACCESS_KEY_ID", text_of(&account, "/RootAccessKeyId"));
            command.env("AWS_SECRET_ACCESS_KEY", text_of(&account, "/RootSecretAccessKey"));
            command
        };
        let (access_key, secret) = (text_of(&account, "/RootAccessKeyId"), text_of(&account, "/RootSecretAccessKey"));
        let root = crate::requests::Client::of(&access_key, &secret, "us-east-1", main)?;
        let key = crate::operations::create_key(&root, &mut Connection::open(main).await?).await?;
        let file = answer(tenant(&["xks", "create-store", STORE]))?;
        run(tenant(&["xks", "add-key", STORE, "key", &key]))?;
        Ok(Self {
            server,
            tls,
            files,
            path: text_of(&file, "/XksProxyUriPath"),
            access_key: text_of(&file, "/XksProxyAuthenticationCredential/AccessKeyId"),
            secret: text_of(&file, "/XksProxyAuthenticationCredential/RawSecretAccessKey"),
        })
    }

    /// Different requests, as AWS KMS makes them for GenerateDataKey and Decrypt: data keys of 32 bytes, with an integrity value.
    async fn bodies(&self, operation: &str) -> Result<Vec<Value>, Failure> {
        let encrypt: Vec<Value> = (0..POOL).map(encrypt_body).collect();
        if operation == "encrypt" {
            return Ok(encrypt);
        }
        let mut connection = Connection::open_in_tls(self.server.address, &self.tls).await?;
        let mut bodies = Vec::with_capacity(POOL);
        for request in self.requests("encrypt", &encrypt)? {
            let made: Value = serde_json::from_slice(connection.call(&request).await?.body).context("no JSON")?;
            bodies.push(json!({
                "requestMetadata": metadata("Decrypt"),
                "additionalAuthenticatedData": STANDARD.encode("purpose=bench"),
                "encryptionAlgorithm": "AES_GCM",
                "ciphertext": made.get("ciphertext"),
                "ciphertextMetadata": made.get("ciphertextMetadata"),
                "initializationVector": made.get("initializationVector"),
                "authenticationTag": made.get("authenticationTag"),
            }));
        }
        Ok(bodies)
    }

    /// Signed requests, good for five minutes.
    fn requests(&self, operation: &str, bodies: &[Value]) -> Result<Vec<Bytes>, Failure> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let now = Timestamp(i64::try_from(since.as_millis()).context("the clock is beyond all years")?);
        let signer = Signer {
            access_key: &self.access_key,
            secret: &self.secret,
            session_token: None,
            region: "eu-central-1",
            service: "kms-xks-proxy",
        };
        let key = SigningKey::derive(&self.secret, &now.basic_date(), signer.region, signer.service);
        let path = format!("{}/keys/key/{operation}", self.path);
        let uri: Uri = path.parse().context("a path that is none")?;
        let headers: HeaderMap =
            [(HOST, HeaderValue::from_static("localhost")), (CONTENT_TYPE, HeaderValue::from_static("application/json"))]
                .into_iter()
                .collect();
        let sign = |body: &Value| {
            let body = body.to_string();
            let added = signer.sign_with(&key, &Method::POST, &uri, &headers, body.as_bytes(), now).context("cannot sign")?;
            let mut text = format!("POST {path} HTTP/1.1\r\n");
            for (name, value) in headers.iter().chain(added.iter().map(|(name, value)| (name, value))) {
                text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
            }
            text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
            Ok(Bytes::from(text))
        };
        bodies.iter().map(sign).collect()
    }

    async fn bare_like(&self, binaries: &Binaries, scratch: &Path, operation: &str, bodies: &[Value]) -> Result<Server, Failure> {
        let mut connection = Connection::open_in_tls(self.server.address, &self.tls).await?;
        let request = self.requests(operation, bodies.get(..1).unwrap_or_default())?.pop().unwrap_or_default();
        let answer = connection.call(&request).await?;
        if answer.status != 200 {
            return Err(Failure::new(format!("{operation} was answered with {}", answer.status)));
        }
        let headers: Vec<(HeaderName, HeaderValue)> = answer
            .head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
            .filter(|(name, _)| *name != CONTENT_LENGTH && *name != DATE)
            .collect();
        Server::bare_in_tls(binaries, scratch.join("bare-tls.log"), &headers, answer.body.len(), &self.files).await
    }

    async fn side<'a>(&self, server: &'a Server, requests: Vec<Bytes>) -> Result<Side<'a>, Failure> {
        let mut connections = Vec::with_capacity(BAR_CONNECTIONS);
        for _ in 0..BAR_CONNECTIONS {
            connections.push(Connection::open_in_tls(server.address, &self.tls).await?);
        }
        Ok(Side::with(server, Generator::new(connections, requests)))
    }

    /// Asks at AWS KMS's rate, whether or not the answers keep up: a request's time begins when it should have been sent.
    async fn sustain(&self, duration: Duration, report: &mut Report) -> Result<(), Failure> {
        let mut requests = self.requests("encrypt", &self.bodies("encrypt").await?)?;
        requests.extend(self.requests("decrypt", &self.bodies("decrypt").await?)?);
        let interval = Duration::from_secs(1) * u32::try_from(BAR_CONNECTIONS).unwrap_or(1) / RATE_PER_SECOND;
        let mut connections = JoinSet::new();
        let begin = Instant::now() + Duration::from_millis(200);
        for number in 0..BAR_CONNECTIONS {
            let mut connection = Connection::open_in_tls(self.server.address, &self.tls).await?;
            let requests = requests.clone();
            let mut due = begin + interval * u32::try_from(number).unwrap_or(0) / u32::try_from(BAR_CONNECTIONS).unwrap_or(1);
            connections.spawn(async move {
                let mut tally = Tally::default();
                for request in requests.iter().cycle().skip(number) {
                    if due >= begin + duration {
                        break;
                    }
                    sleep_until(due).await;
                    let answer = connection.call(request).await?;
                    if answer.status != 200 {
                        return Err(Failure::new(format!("a request was answered with {}", answer.status)));
                    }
                    tally.add(due.elapsed());
                    due += interval;
                }
                Ok(tally)
            });
        }
        let mut all = Tally::default();
        while let Some(ended) = connections.join_next().await {
            all.latencies_ns.extend(ended.context("the generator broke")??.latencies_ns);
        }
        all.elapsed = begin.elapsed().max(duration);
        let (rate, p99) = (all.per_second(), all.quantile_ms(0.99));
        println!("\n{RATE_PER_SECOND}/s for {} s: {rate:.0}/s answered, p99 {p99:.2} ms\n", duration.as_secs());
        let kept = rate >= f64::from(RATE_PER_SECOND) * 0.99;
        let got = format!("{rate:.0}/s, p99 {p99:.2} ms");
        report.bar(
            format!("XKS, {RATE_PER_SECOND}/s for {} s", duration.as_secs()),
            "kept up, p99 < 10 ms",
            got,
            kept && p99 < 10.0,
        );
        Ok(())
    }
}

fn encrypt_body(number: usize) -> Value {
    let mut plaintext = number.to_le_bytes().to_vec();
    plaintext.resize(32, 0xa5);
    json!({
        "requestMetadata": metadata("GenerateDataKey"),
        "additionalAuthenticatedData": STANDARD.encode("purpose=bench"),
        "plaintext": STANDARD.encode(plaintext),
        "encryptionAlgorithm": "AES_GCM",
        "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
    })
}

fn metadata(operation: &str) -> Value {
    json!({
        "awsPrincipalArn": "arn:aws:iam::111122223333:user/Alice",
        "kmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "kmsOperation": operation,
        "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
    })
}

fn run(mut command: Command) -> Result<Vec<u8>, Failure> {
    let done = command.output().context("cannot run claviger")?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    Err(Failure::new(format!("claviger ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr))))
}

fn answer(command: Command) -> Result<Value, Failure> {
    serde_json::from_slice(&run(command)?).context("claviger's answer is not JSON")
}

fn text_of(answer: &Value, pointer: &str) -> String {
    answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_keys_have_their_length_and_differ() {
        let plaintext = |number| encrypt_body(number).get("plaintext").and_then(Value::as_str).map(|text| STANDARD.decode(text));
        assert_eq!(plaintext(1).and_then(Result::ok).map(|bytes| bytes.len()), Some(32));
        assert_ne!(encrypt_body(1), encrypt_body(2));
    }
}
