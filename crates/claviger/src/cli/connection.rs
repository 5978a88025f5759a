//! Which server a command talks to, and as whom.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::output;
use crate::client::{Client, Credentials, Endpoint, Target};
use crate::problem::Problem;

const ADMINISTRATION_CREDENTIALS: &str = "Credentials come from the environment: CLAVIGER_ADMIN_ACCESS_KEY_ID and \
     CLAVIGER_ADMIN_SECRET_ACCESS_KEY (the administrator's), or else AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (an \
     account root's, a user's).";
const KMS_CREDENTIALS: &str = "Credentials come from the environment, and from nowhere else: AWS_ACCESS_KEY_ID, \
     AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN for a session.";

/// How to talk to a server, wherever it is.
#[derive(Debug, Args)]
struct Manner {
    /// PEM file with the certificate authorities to trust instead of this machine's [default: AWS_CA_BUNDLE]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The Region to sign requests for: one that the server serves [default: AWS_REGION, AWS_DEFAULT_REGION, or us-east-1]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// The server of a command that uses keys: any that speaks the AWS KMS API.
#[derive(Debug, Args)]
#[command(after_help = KMS_CREDENTIALS, after_long_help = KMS_CREDENTIALS)]
pub(super) struct KmsConnection {
    /// The server: https://HOST[:PORT] [default: AWS_ENDPOINT_URL_KMS, AWS_ENDPOINT_URL, or CLAVIGER_ENDPOINT]
    #[arg(long, value_name = "URL")]
    endpoint: Option<Endpoint>,
    #[command(flatten)]
    manner: Manner,
}

/// An administrative command's connection and form of answer.
#[derive(Debug, Args)]
#[command(after_help = ADMINISTRATION_CREDENTIALS, after_long_help = ADMINISTRATION_CREDENTIALS)]
pub(super) struct Administration {
    /// The server: https://HOST[:PORT], or http://127.0.0.1:9911 [default: CLAVIGER_ENDPOINT]
    #[arg(long, value_name = "URL")]
    endpoint: Option<Endpoint>,
    #[command(flatten)]
    manner: Manner,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// A server that is asked without credentials.
#[derive(Debug, Args)]
pub(super) struct ServerOnly {
    /// The server: https://HOST[:PORT], or http://127.0.0.1:9911 [default: CLAVIGER_ENDPOINT]
    #[arg(long, value_name = "URL")]
    endpoint: Option<Endpoint>,
    /// PEM file with the certificate authorities to trust instead of this machine's [default: AWS_CA_BUNDLE]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl ServerOnly {
    /// A client of that server. What is brought may be secret, so that it has to be encrypted on its way to another machine.
    pub(super) fn client(&self) -> Result<Client, Problem> {
        let endpoint = endpoint(self.endpoint.as_ref(), &["CLAVIGER_ENDPOINT"])?.ok_or_else(no_server)?;
        if endpoint.is_exposed() {
            return Err(Problem::usage(format!(
                "{endpoint} is plain HTTP to another machine: what is brought could be read on the way"
            ))
            .remedy("use https, or run this on the server's machine"));
        }
        let nobody = Credentials { access_key: String::new(), secret: Zeroizing::new(String::new()), session_token: None };
        Client::new(endpoint, nobody, String::new(), certificate_authority(self.ca.as_ref()).as_deref())
    }
}

impl Administration {
    /// Asks for one administrative operation and prints the answer.
    pub(super) async fn perform(&self, operation: &'static str, input: Value) -> Result<(), Problem> {
        let answer = self.ask(operation, input).await?;
        match &answer {
            Value::Object(members) if members.is_empty() && !self.json => {
                output::note("done");
                Ok(())
            }
            _ => output::answer(&answer, self.json),
        }
    }

    /// Asks for an operation whose answer holds a secret that is shown once.
    pub(super) async fn perform_once(&self, operation: &'static str, input: Value) -> Result<(), Problem> {
        output::demand_reader_of_secrets()?;
        let answer = self.ask(operation, input).await?;
        output::secret_answer(&answer, self.json).map_err(|problem| {
            let text = |names: &[&str]| names.iter().find_map(|name| answer.get(name)?.as_str()).unwrap_or("?").to_owned();
            let (account, key) = (text(&["AccountId"]), text(&["AccessKeyId", "RootAccessKeyId"]));
            Problem::new(format!("the access key {key} of account {account} was made, but {}", problem.happened())).remedy(
                "nobody knows its secret: delete it (claviger access-key delete) and make another (claviger access-key create)",
            )
        })
    }

    /// Asks for every page of a list, and prints them as one answer.
    pub(super) async fn perform_list(
        &self,
        operation: &'static str,
        list: &'static str,
        mut input: Value,
    ) -> Result<(), Problem> {
        let mut items = Vec::new();
        loop {
            let mut page = self.ask(operation, input.clone()).await?;
            if let Some(Value::Array(found)) = page.get_mut(list).map(Value::take) {
                items.extend(found);
            }
            match (page.get("Truncated").and_then(Value::as_bool), page.get("NextMarker"), input.as_object_mut()) {
                (Some(true), Some(marker), Some(members)) => {
                    members.insert("Marker".to_owned(), marker.clone());
                }
                _ => return output::answer(&json!({ list: items }), self.json),
            }
        }
    }

    /// Asks for one administrative operation.
    pub(super) async fn ask(&self, operation: &'static str, input: Value) -> Result<Value, Problem> {
        self.ask_as(&["CLAVIGER_ADMIN", "AWS"], operation, input).await
    }

    /// The same with the first complete pair of credentials that the environment has under these names.
    pub(super) async fn ask_as(&self, credentials: &[&str], operation: &'static str, input: Value) -> Result<Value, Problem> {
        let endpoint = endpoint(self.endpoint.as_ref(), &["CLAVIGER_ENDPOINT"])?;
        let client = self.manner.client(endpoint, credentials)?;
        let target = Target { service: "claviger", prefix: "ClavigerAdmin", operation };
        client.call(target, &without_nulls(input)).await.map_err(Problem::from)
    }
}

impl KmsConnection {
    /// A client for the KMS API, which may be another server than the administrators'.
    pub(super) fn client(&self) -> Result<Client, Problem> {
        let names = ["AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL", "CLAVIGER_ENDPOINT"];
        let endpoint = endpoint(self.endpoint.as_ref(), &names)?;
        self.manner.client(endpoint, &["AWS"])
    }
}

impl Manner {
    fn client(&self, endpoint: Option<Endpoint>, credentials_from: &[&str]) -> Result<Client, Problem> {
        let endpoint = endpoint.ok_or_else(no_server)?;
        if endpoint.is_exposed() {
            output::note(format_args!(
                "warning: {endpoint} is plain HTTP to another machine: what it answers can be read on the way"
            ));
        }
        let region = self.region.clone().or_else(|| first_of(&["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, region)| region));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let ca = certificate_authority(self.ca.as_ref());
        Client::new(endpoint, credentials(credentials_from)?, region, ca.as_deref())
    }
}

/// The endpoint of the command line, or of the first of these variables that is set.
fn endpoint(given: Option<&Endpoint>, names: &[&'static str]) -> Result<Option<Endpoint>, Problem> {
    if let Some(endpoint) = given {
        return Ok(Some(endpoint.clone()));
    }
    let Some((name, text)) = first_of(names) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| Problem::usage(format!("the environment variable {name}: {error}")))
}

fn certificate_authority(given: Option<&PathBuf>) -> Option<PathBuf> {
    given.cloned().or_else(|| first_of(&["AWS_CA_BUNDLE"]).map(|(_, file)| file.into()))
}

/// The first of these variables that is set. One that is empty is not, as in every AWS program.
fn first_of(names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| Some((*name, std::env::var(name).ok().filter(|value| !value.is_empty())?)))
}

fn no_server() -> Problem {
    Problem::usage("no server was named")
        .remedy("name it with --endpoint or CLAVIGER_ENDPOINT, or source the dev.env file of `claviger dev`")
}

/// The first complete pair in the environment.
fn credentials(prefixes: &[&str]) -> Result<Credentials, Problem> {
    let read = |prefix: &str, name: &str| std::env::var(format!("{prefix}_{name}")).ok().filter(|value| !value.is_empty());
    for prefix in prefixes {
        if let (Some(access_key), Some(secret)) = (read(prefix, "ACCESS_KEY_ID"), read(prefix, "SECRET_ACCESS_KEY")) {
            let session_token = read(prefix, "SESSION_TOKEN").map(Zeroizing::new);
            return Ok(Credentials { access_key, secret: Zeroizing::new(secret), session_token });
        }
    }
    let names: Vec<String> = prefixes.iter().map(|p| format!("{p}_ACCESS_KEY_ID and {p}_SECRET_ACCESS_KEY")).collect();
    Err(Problem::usage("no credentials were given").remedy(format!("set {} in the environment", names.join(", or "))))
}

/// The protocol leaves out what is not given.
fn without_nulls(input: Value) -> Value {
    match input {
        Value::Object(members) => Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>()),
        other => other,
    }
}
