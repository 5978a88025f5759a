//! Which server a command talks to, and as whom.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::output;
use crate::client::{Client, Credentials, Endpoint, Target};
use crate::problem::Problem;

/// How to talk to a server, wherever it is.
#[derive(Debug, Args)]
struct Manner {
    /// PEM file with the certificate authorities to trust instead of this machine's
    #[arg(long, env = "AWS_CA_BUNDLE", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The Region to sign requests for: one that the server serves [default: AWS_DEFAULT_REGION, or us-east-1]
    #[arg(long, env = "AWS_REGION", value_name = "REGION")]
    region: Option<String>,
}

/// The server of a command that uses keys: any that speaks the AWS KMS API.
#[derive(Debug, Args)]
pub(super) struct KmsConnection {
    /// The server: https://HOST[:PORT] [default: AWS_ENDPOINT_URL, or CLAVIGER_ENDPOINT]
    #[arg(long, env = "AWS_ENDPOINT_URL_KMS", value_name = "URL")]
    endpoint: Option<Endpoint>,
    #[command(flatten)]
    manner: Manner,
}

/// An administrative command's connection and form of answer.
#[derive(Debug, Args)]
pub(super) struct Administration {
    /// The server: https://HOST[:PORT], or http://127.0.0.1:9911
    #[arg(long, env = "CLAVIGER_ENDPOINT", value_name = "URL")]
    endpoint: Option<Endpoint>,
    #[command(flatten)]
    manner: Manner,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(super) json: bool,
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
        let client = self.manner.client(self.endpoint.clone(), &["CLAVIGER_ADMIN", "AWS"])?;
        let target = Target { service: "claviger", prefix: "ClavigerAdmin", operation };
        client.call(target, &without_nulls(input)).await.map_err(Problem::from)
    }
}

impl KmsConnection {
    /// A client for the KMS API, which may be another server than the administrators'.
    pub(super) fn client(&self) -> Result<Client, Problem> {
        let elsewhere = || ["AWS_ENDPOINT_URL", "CLAVIGER_ENDPOINT"].iter().find_map(|name| std::env::var(name).ok());
        let endpoint = match &self.endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None => elsewhere().map(|text| text.parse().map_err(Problem::usage)).transpose()?,
        };
        self.manner.client(endpoint, &["AWS"])
    }
}

impl Manner {
    fn client(&self, endpoint: Option<Endpoint>, credentials_from: &[&str]) -> Result<Client, Problem> {
        let endpoint = endpoint.ok_or_else(|| {
            Problem::usage("no server was named")
                .remedy("name it with --endpoint or CLAVIGER_ENDPOINT, or source the dev.env file of `claviger dev`")
        })?;
        if endpoint.is_exposed() {
            output::note(format_args!(
                "warning: {endpoint} is plain HTTP to another machine: what it answers can be read on the way"
            ));
        }
        let region = self.region.clone().or_else(|| std::env::var("AWS_DEFAULT_REGION").ok());
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        Client::new(endpoint, credentials(credentials_from)?, region, self.ca.as_deref())
    }
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
