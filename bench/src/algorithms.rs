//! What the server adds to the algorithms that it offers: each operation beside the bare primitive, in one run.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rsa::KeySize;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::Plan;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::load::Until;
use crate::operations::{BAR_CONNECTIONS, Side, call, call_api, create_key, encrypt};
use crate::primitives::{self, Call, MESSAGE};
use crate::report::{Report, Table};
use crate::requests::{Api, Client};
use crate::server::{Binaries, Deployment, Server, Started};

/// The grants on the key that is used through one of them.
const GRANTS: usize = 50_000;
/// The users that they are spread over.
const GRANTEES: usize = 50;
/// What "at least 80 % of what the cores can do" means.
const RSA_SHARE_MIN: f64 = 0.8;
/// How long a primitive is measured.
const PRIMITIVE_TIME: Duration = Duration::from_millis(400);

/// An operation, the bodies of its requests, and what it comes to without a server; none where there is no algorithm in it.
struct Subject {
    title: String,
    operation: &'static str,
    bodies: Vec<Value>,
    primitive_us: Option<f64>,
    /// What all cores do of the primitive in a second, where a bar speaks of it.
    primitive_rate: Option<f64>,
}

/// Measures them all.
pub(crate) async fn measure(plan: &Plan, binaries: &Binaries, scratch: &Path, report: &mut Report) -> Result<(), Failure> {
    let deployment = Deployment::new(binaries, scratch.join("algorithms"))?;
    let Started { server, client, took: _ } = deployment.start().await?;
    let mut connection = Connection::open(server.address).await?;
    let key = create_key(&client, &mut connection).await?;

    println!("\n## Algorithms and grants\n\nAt {BAR_CONNECTIONS} connections; the primitive alone in the generator's process.\n");
    let mut table = Table::new(&["operation", "requests/s", "p50 ms", "p99 ms", "CPU µs", "primitive µs", "overhead µs"]);
    table.fit(&["Encrypt 32 B through one of 50000 grants".to_owned()]);
    println!("{}", table.head());
    let measurement = Measurement { server: &server, time: plan.duration(), table };

    let encrypt_subject = Subject {
        title: "Encrypt 32 B".to_owned(),
        operation: "Encrypt",
        bodies: (0..8).map(|number| encrypt(&key, 32, number)).collect(),
        primitive_us: Some(primitives::cpu_us(primitives::seal, PRIMITIVE_TIME)?),
        primitive_rate: None,
    };
    let bar = measurement.take(&client, &encrypt_subject, None, report).await?;

    for subject in signatures(&client, &mut connection).await? {
        measurement.take(&client, &subject, Some(bar), report).await?;
    }
    measurement.take(&client, &mac(&client, &mut connection).await?, Some(bar), report).await?;
    measurement.take(&client, &re_encrypt(&client, &mut connection, &key).await?, Some(bar), report).await?;
    grants(&measurement, &client, &mut connection, bar, report).await
}

struct Measurement<'a> {
    server: &'a Server,
    time: Duration,
    table: Table,
}

impl Measurement<'_> {
    /// Measures one, prints its row, and answers the server's overhead in microseconds of CPU.
    async fn take(&self, client: &Client, subject: &Subject, bar: Option<f64>, report: &mut Report) -> Result<f64, Failure> {
        let requests = client.requests(subject.operation, &subject.bodies)?;
        let mut side = Side::new(self.server, requests, BAR_CONNECTIONS).await?;
        side.warm_up().await?;
        side.take_turn(Until::Elapsed(self.time)).await?;
        let (cpu, rate) = (side.cpu_us(), side.tally.per_second());
        let overhead = cpu - subject.primitive_us.unwrap_or_default();
        println!(
            "{}",
            self.table.row(&[
                subject.title.clone(),
                format!("{rate:.0}"),
                format!("{:.2}", side.tally.quantile_ms(0.5)),
                format!("{:.2}", side.tally.quantile_ms(0.99)),
                format!("{cpu:.1}"),
                subject.primitive_us.map_or_else(|| "-".to_owned(), |us| format!("{us:.1}")),
                format!("{overhead:.1}"),
            ])
        );
        if let (Some(bar), Some(_)) = (bar, subject.primitive_us) {
            let got = format!("{overhead:.1} µs against {bar:.1} µs");
            report.bar(format!("{}: overhead over the primitive", subject.title), "≤ Encrypt's", got, overhead <= bar);
        }
        if let Some(possible) = subject.primitive_rate {
            let share = rate / possible;
            let got = format!("{:.0} % ({rate:.0}/s of {possible:.0}/s)", share * 100.0);
            report.bar(format!("{}: of what all cores can do", subject.title), "≥ 80 %", got, share >= RSA_SHARE_MIN);
        }
        Ok(overhead)
    }
}

/// A key pair's kind, how it signs here, and what its primitives are.
struct Scheme {
    title: &'static str,
    spec: &'static str,
    algorithm: &'static str,
    sign: Box<dyn Fn() -> Result<Call, Failure> + Sync>,
    verify: fn() -> Result<Call, Failure>,
}

fn schemes() -> Vec<Scheme> {
    vec![
        Scheme {
            title: "RSA-2048",
            spec: "RSA_2048",
            algorithm: "RSASSA_PSS_SHA_256",
            sign: Box::new(primitives::rsa_sign(KeySize::Rsa2048)),
            verify: || primitives::rsa_verify(KeySize::Rsa2048),
        },
        Scheme {
            title: "RSA-3072",
            spec: "RSA_3072",
            algorithm: "RSASSA_PSS_SHA_256",
            sign: Box::new(primitives::rsa_sign(KeySize::Rsa3072)),
            verify: || primitives::rsa_verify(KeySize::Rsa3072),
        },
        Scheme {
            title: "P-256",
            spec: "ECC_NIST_P256",
            algorithm: "ECDSA_SHA_256",
            sign: Box::new(primitives::p256_sign),
            verify: primitives::p256_verify,
        },
        Scheme {
            title: "Ed25519",
            spec: "ECC_NIST_EDWARDS25519",
            algorithm: "ED25519_SHA_512",
            sign: Box::new(primitives::ed25519_sign),
            verify: primitives::ed25519_verify,
        },
        Scheme {
            title: "ML-DSA-65",
            spec: "ML_DSA_65",
            algorithm: "ML_DSA_SHAKE_256",
            sign: Box::new(primitives::ml_dsa_65_sign),
            verify: primitives::ml_dsa_65_verify,
        },
    ]
}

async fn signatures(client: &Client, connection: &mut Connection) -> Result<Vec<Subject>, Failure> {
    let mut subjects = Vec::new();
    for scheme in schemes() {
        let key = create(client, connection, scheme.spec, "SIGN_VERIFY").await?;
        let message = STANDARD.encode(MESSAGE);
        let sign = json!({ "KeyId": key, "Message": message, "SigningAlgorithm": scheme.algorithm });
        let signed = call(client, connection, "Sign", &sign).await?;
        let mut verify = sign.clone();
        if let (Some(members), Some(signature)) = (verify.as_object_mut(), signed.get("Signature")) {
            members.insert("Signature".to_owned(), signature.clone());
        }
        let rate = match scheme.title {
            "RSA-2048" => Some(primitives::rate_of_all_cores(&scheme.sign, PRIMITIVE_TIME * 2)?),
            _ => None,
        };
        subjects.push(Subject {
            title: format!("Sign {}", scheme.title),
            operation: "Sign",
            bodies: vec![sign],
            primitive_us: Some(primitives::cpu_us(&scheme.sign, PRIMITIVE_TIME)?),
            primitive_rate: rate,
        });
        subjects.push(Subject {
            title: format!("Verify {}", scheme.title),
            operation: "Verify",
            bodies: vec![verify],
            primitive_us: Some(primitives::cpu_us(scheme.verify, PRIMITIVE_TIME)?),
            primitive_rate: None,
        });
    }
    Ok(subjects)
}

async fn mac(client: &Client, connection: &mut Connection) -> Result<Subject, Failure> {
    let key = create(client, connection, "HMAC_256", "GENERATE_VERIFY_MAC").await?;
    Ok(Subject {
        title: "GenerateMac HMAC-SHA-256".to_owned(),
        operation: "GenerateMac",
        bodies: vec![json!({ "KeyId": key, "Message": STANDARD.encode(MESSAGE), "MacAlgorithm": "HMAC_SHA_256" })],
        primitive_us: Some(primitives::cpu_us(primitives::hmac_sha256, PRIMITIVE_TIME)?),
        primitive_rate: None,
    })
}

async fn re_encrypt(client: &Client, connection: &mut Connection, key: &str) -> Result<Subject, Failure> {
    let other = create_key(client, connection).await?;
    let sealed = call(client, connection, "Encrypt", &encrypt(key, 32, 0)).await?;
    Ok(Subject {
        title: "ReEncrypt 32 B".to_owned(),
        operation: "ReEncrypt",
        bodies: vec![json!({ "CiphertextBlob": sealed.get("CiphertextBlob"), "DestinationKeyId": other })],
        primitive_us: Some(primitives::cpu_us(primitives::open_and_seal, PRIMITIVE_TIME)?),
        primitive_rate: None,
    })
}

/// CreateGrant up to so many grants on one key; then the use of the key through one of them.
async fn grants(
    measurement: &Measurement<'_>,
    client: &Client,
    connection: &mut Connection,
    bar: f64,
    report: &mut Report,
) -> Result<(), Failure> {
    let key = create_key(client, connection).await?;
    let mut principals = Vec::with_capacity(GRANTEES);
    for number in 0..GRANTEES {
        let user = format!("grantee-{number}");
        let made = call_api(Api::Administration, client, connection, "CreateUser", &json!({ "UserName": user })).await?;
        principals.push(text(&made, "/Arn")?);
    }
    let body = |principal: &String| json!({ "KeyId": key, "GranteePrincipal": principal, "Operations": ["Encrypt", "Decrypt"] });
    let bodies: Vec<Value> = principals.iter().map(body).collect();
    let mut side = Side::new(measurement.server, client.requests("CreateGrant", &bodies)?, BAR_CONNECTIONS).await?;
    side.take_turn(Until::Count(GRANTS)).await?;
    let row = [
        format!("CreateGrant, {GRANTS} on one key"),
        format!("{:.0}", side.tally.per_second()),
        format!("{:.2}", side.tally.quantile_ms(0.5)),
        format!("{:.2}", side.tally.quantile_ms(0.99)),
        format!("{:.1}", side.cpu_us()),
        "-".to_owned(),
        "-".to_owned(),
    ];
    println!("{}", measurement.table.row(&row));

    let user = json!({ "UserName": "grantee-7" });
    let made = call_api(Api::Administration, client, connection, "CreateAccessKey", &user).await?;
    let grantee = client.with_credentials(text(&made, "/AccessKeyId")?, text(&made, "/SecretAccessKey")?);
    let arn = call(client, connection, "DescribeKey", &json!({ "KeyId": key })).await?;
    let arn = text(&arn, "/KeyMetadata/Arn")?;
    let subject = Subject {
        title: format!("Encrypt 32 B through one of {GRANTS} grants"),
        operation: "Encrypt",
        bodies: (0..8).map(|number| encrypt(&arn, 32, number)).collect(),
        primitive_us: Some(primitives::cpu_us(primitives::seal, PRIMITIVE_TIME)?),
        primitive_rate: None,
    };
    measurement.take(&grantee, &subject, Some(bar), report).await.map(drop)
}

async fn create(client: &Client, connection: &mut Connection, spec: &str, usage: &str) -> Result<String, Failure> {
    text(&call(client, connection, "CreateKey", &json!({ "KeySpec": spec, "KeyUsage": usage })).await?, "/KeyMetadata/KeyId")
}

fn text(answer: &Value, pointer: &str) -> Result<String, Failure> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| Failure::new(format!("an answer has no {pointer}")))
}
