//! `claviger import-key`: the whole ceremony of bringing one's own key.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use claviger_domain::ids::InvalidId;
use claviger_domain::key::{ImportType, KeySpec, KeyUsage, Origin, WrappingKeySpec};
use claviger_domain::{AliasName, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::connection::KmsConnection;
use super::files::Input;
use super::output;
use crate::client::{CallError, Client, Target};
use crate::key_material::{self, MATERIAL_BYTES_MAX};
use crate::problem::Problem;

/// For how long material may be valid. Source: AWS KMS API Reference, "ImportKeyMaterial".
const VALID_DAYS_MAX: u32 = 365;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file with the material; - for standard input. Bytes as they are, in hexadecimal or in base64; for key pairs PKCS#8 in DER or PEM
    file: PathBuf,
    /// The key that takes the material: its id, ARN, alias or alias ARN [default: a new key]
    #[arg(long, short, value_name = "KEY")]
    key: Option<String>,
    /// What kind of key the new one is [default: SYMMETRIC_DEFAULT]
    #[arg(long, value_name = "SPEC", value_parser = read_spec, conflicts_with = "key")]
    spec: Option<KeySpec>,
    /// What the new key is for, where its spec leaves a choice: ENCRYPT_DECRYPT, SIGN_VERIFY, KEY_AGREEMENT
    #[arg(long, value_name = "USAGE", value_parser = read_usage, conflicts_with = "key")]
    usage: Option<KeyUsage>,
    /// A description of the new key
    #[arg(long, value_name = "TEXT", conflicts_with = "key")]
    description: Option<String>,
    /// An alias for the new key: payroll, or alias/payroll
    #[arg(long, value_name = "NAME", value_parser = read_alias, conflicts_with = "key")]
    alias: Option<AliasName>,
    /// When the material expires: 90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z; at most 365 days from now [default: never]
    #[arg(long, value_name = "TIME", value_parser = read_expiry)]
    expires: Option<Timestamp>,
    /// This is new material for a symmetric key that has some already: it waits until the key is rotated on demand
    #[arg(long, requires = "key")]
    new_material: bool,
    /// What kind of key wraps the material on its way: RSA_2048, RSA_3072 or RSA_4096
    #[arg(long, value_name = "SPEC", value_parser = read_wrapping_key_spec, default_value_t = WrappingKeySpec::Rsa4096)]
    wrapping_key_spec: WrappingKeySpec,
    #[command(flatten)]
    connection: KmsConnection,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    if let Some(at) = arguments.expires {
        check_expiry(at, now())?;
    }
    let client = arguments.connection.client()?;
    let written = read_file(&arguments.file)?;
    let key = match &arguments.key {
        Some(name) => find(&client, name).await?,
        None => {
            // Looked at before anything is made.
            key_material::read(arguments.spec.unwrap_or(KeySpec::SymmetricDefault), &written)?;
            if let Some(alias) = &arguments.alias {
                must_be_free(&client, alias).await?;
            }
            create(&client, &arguments).await?
        }
    };
    let imported = import(&client, &arguments, &key, &written).await.map_err(|problem| match arguments.key {
        Some(_) => problem,
        None => problem.remedy(format!(
            "the new key {} waits for its material: try again with --key {}, or delete it with `aws kms schedule-key-deletion`",
            key.key_id, key.key_id
        )),
    })?;
    if let Some(alias) = &arguments.alias {
        let input = json!({ "AliasName": alias, "TargetKeyId": key.key_id });
        call_for_nothing(&client, "CreateAlias", &input).await.map_err(|problem| {
            problem.remedy(format!(
                "the material is in the key {} now: only its alias is missing (aws kms create-alias)",
                key.key_id
            ))
        })?;
    }
    let now: Described = call(&client, "DescribeKey", &json!({ "KeyId": key.key_id })).await?;
    report(&arguments, &now.key_metadata, imported)
}

/// What the ceremony has to know of a key.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    key_id: String,
    arn: String,
    key_spec: String,
    key_state: String,
    origin: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    key_metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    import_token: String,
    public_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Imported {
    key_material_id: Option<String>,
}

async fn find(client: &Client, name: &str) -> Result<Metadata, Problem> {
    let described: Described = call(client, "DescribeKey", &json!({ "KeyId": name })).await?;
    let key = described.key_metadata;
    if key.origin != Origin::External.as_str() {
        let what = format!("the key {} has origin {}: it takes no material of its owner's", key.arn, key.origin);
        return Err(Problem::new(what).remedy("leave --key out to make a new key, whose origin is EXTERNAL"));
    }
    Ok(key)
}

/// Refuses an alias that another key has, as far as these credentials may know.
async fn must_be_free(client: &Client, alias: &AliasName) -> Result<(), Problem> {
    let target = Target { service: "kms", prefix: "TrentService", operation: "DescribeKey" };
    match client.call::<Described>(target, &json!({ "KeyId": alias })).await {
        Ok(taken) => Err(Problem::new(format!("{alias} names another key already: {}", taken.key_metadata.arn))
            .remedy(format!("choose another alias, or import into that key with --key {alias}"))),
        Err(CallError::Refused { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn create(client: &Client, arguments: &Arguments) -> Result<Metadata, Problem> {
    let spec = arguments.spec.unwrap_or(KeySpec::SymmetricDefault);
    let usage = match (arguments.usage, spec.usages()) {
        (Some(usage), _) => usage,
        (None, [usage]) => *usage,
        (None, usages) => {
            let names: Vec<&str> = usages.iter().map(|usage| usage.as_str()).collect();
            return Err(Problem::usage(format!("a key of spec {spec} can be for more than one thing"))
                .remedy(format!("say which with --usage: {}", names.join(" or "))));
        }
    };
    let input = without_nulls(json!({
        "Description": arguments.description,
        "KeySpec": spec.as_str(),
        "KeyUsage": usage.as_str(),
        "Origin": Origin::External.as_str(),
    }));
    let described: Described = call(client, "CreateKey", &input).await?;
    Ok(described.key_metadata)
}

async fn import(client: &Client, arguments: &Arguments, key: &Metadata, written: &[u8]) -> Result<Imported, Problem> {
    let spec: KeySpec = key.key_spec.parse().map_err(|_| {
        Problem::new(format!("the key {} is of a spec that this program does not know: {}", key.arn, key.key_spec))
    })?;
    let material = key_material::read(spec, written)?;
    let algorithm = key_material::wrapping_algorithm(spec);
    let parameters: Parameters = call(
        client,
        "GetParametersForImport",
        &json!({
            "KeyId": key.key_id,
            "WrappingAlgorithm": algorithm.as_str(),
            "WrappingKeySpec": arguments.wrapping_key_spec.as_str(),
        }),
    )
    .await?;
    let public_key = STANDARD
        .decode(&parameters.public_key)
        .map_err(|_| Problem::new("the server's answer holds a PublicKey that is not base64"))?;
    let wrapped = key_material::wrap(algorithm, &public_key, &material)?;
    let model = if arguments.expires.is_some() { "KEY_MATERIAL_EXPIRES" } else { "KEY_MATERIAL_DOES_NOT_EXPIRE" };
    let input = without_nulls(json!({
        "EncryptedKeyMaterial": STANDARD.encode(wrapped),
        "ExpirationModel": model,
        "ImportToken": parameters.import_token,
        "ImportType": arguments.new_material.then_some(ImportType::New.as_str()),
        "KeyId": key.key_id,
        "ValidTo": arguments.expires.map(Timestamp::epoch_seconds),
    }));
    call(client, "ImportKeyMaterial", &input).await
}

fn report(arguments: &Arguments, key: &Metadata, imported: Imported) -> Result<(), Problem> {
    output::line(format_args!("key        {}", key.arn))?;
    output::line(format_args!("state      {}", key.key_state))?;
    if let Some(id) = imported.key_material_id {
        output::line(format_args!("material   {id}"))?;
    }
    match arguments.expires {
        Some(at) => output::line(format_args!("expires    {at}"))?,
        None => output::line("expires    never")?,
    }
    if arguments.new_material {
        output::note("the material waits for its rotation: aws kms rotate-key-on-demand makes it the one that encrypts");
    }
    output::note(
        "keep the material in a safe place: should it expire or be deleted, only the same material makes the key usable again",
    );
    Ok(())
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    if path == Path::new("-") && io::stdin().is_terminal() {
        return Err(Problem::usage("material is not typed into a terminal").remedy("name a file, or pipe the material in"));
    }
    let mut input = Input::open(path)?;
    // As large as it may get, so that no part of it stays behind in a buffer that grew.
    let mut material = Zeroizing::new(Vec::with_capacity(MATERIAL_BYTES_MAX + 1));
    let name = input.name().to_owned();
    let limit = u64::try_from(MATERIAL_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let read = input.by_ref().take(limit).read_to_end(&mut material);
    read.map_err(|error| Problem::new(format!("cannot read {name}: {error}")))?;
    if material.len() > MATERIAL_BYTES_MAX {
        return Err(Problem::new(format!("{name} is longer than any key")));
    }
    Ok(material)
}

/// A time from now on (`90d`, `12h`), a day, or a moment.
fn read_expiry(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{text} is no time: say 90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z");
    let now = now();
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse().ok()) {
        return Ok(now.plus_days(days));
    }
    if let Some(hours) = text.strip_suffix('h').and_then(|hours| hours.parse::<u32>().ok()) {
        return Ok(now.plus_ms(i64::from(hours) * 3_600_000));
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(moment.as_millisecond()));
    }
    format!("{text}T00:00:00Z").parse::<jiff::Timestamp>().map(|day| Timestamp(day.as_millisecond())).map_err(|_| wrong())
}

/// Refuses a time that the server would refuse, after the key was made. Source: AWS KMS API Reference, "ImportKeyMaterial", `ValidTo`.
fn check_expiry(at: Timestamp, now: Timestamp) -> Result<(), Problem> {
    if at <= now {
        return Err(Problem::usage(format!("the material would have expired already, at {at}"))
            .remedy("say when in the future it expires"));
    }
    if at > now.plus_days(VALID_DAYS_MAX) {
        return Err(Problem::usage(format!(
            "the material would expire at {at}, which is more than {VALID_DAYS_MAX} days from now"
        ))
        .remedy("say an earlier time, and import the same material again before it comes"));
    }
    Ok(())
}

/// An alias of a new key, with or without its prefix.
fn read_alias(text: &str) -> Result<AliasName, String> {
    let whole = if text.starts_with("alias/") { text.to_owned() } else { format!("alias/{text}") };
    let name: AliasName = whole.parse().map_err(|error: InvalidId| error.to_string())?;
    if name.is_reserved() { Err("aliases that begin with alias/aws/ are the service's own".to_owned()) } else { Ok(name) }
}

fn read_spec(text: &str) -> Result<KeySpec, String> {
    one_of(text, KeySpec::ALL, KeySpec::as_str)
}

fn read_usage(text: &str) -> Result<KeyUsage, String> {
    one_of(text, KeyUsage::ALL, KeyUsage::as_str)
}

fn read_wrapping_key_spec(text: &str) -> Result<WrappingKeySpec, String> {
    one_of(text, WrappingKeySpec::ALL, WrappingKeySpec::as_str)
}

fn one_of<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().copied().find(|value| name(*value) == text);
    found.ok_or_else(|| format!("there are {}", all.iter().map(|value| name(*value)).collect::<Vec<_>>().join(", ")))
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

async fn call<A: DeserializeOwned>(client: &Client, operation: &'static str, input: &Value) -> Result<A, Problem> {
    let target = Target { service: "kms", prefix: "TrentService", operation };
    Ok(client.call(target, input).await?)
}

async fn call_for_nothing(client: &Client, operation: &'static str, input: &Value) -> Result<(), Problem> {
    call::<Value>(client, operation, input).await.map(drop)
}

/// The protocol leaves out what is not given.
fn without_nulls(input: Value) -> Value {
    match input {
        Value::Object(members) => Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_would_refuse_is_refused_before() {
        let now = Timestamp(1_000_000_000);
        assert!(check_expiry(now, now).is_err() && check_expiry(now.plus_days(366), now).is_err());
        assert!(check_expiry(now.plus_ms(1), now).is_ok() && check_expiry(now.plus_days(365), now).is_ok());
        assert_eq!(read_alias("payroll").unwrap(), read_alias("alias/payroll").unwrap());
        assert!(read_alias("pay roll").unwrap_err().contains("an alias name"));
        assert!(read_alias("aws/s3").unwrap_err().contains("the service's own"));
        assert!(read_spec("NOPE").unwrap_err().contains("SYMMETRIC_DEFAULT, HMAC_224"));
    }

    #[test]
    fn an_expiry_is_a_time_from_now_on_a_day_or_a_moment() {
        let now = jiff::Timestamp::now().as_millisecond();
        let in_ms = |text| read_expiry(text).unwrap().0 - now;
        assert!((in_ms("90d") - 90 * Timestamp::DAY_MS).abs() < 60_000);
        assert!((in_ms("12h") - Timestamp::DAY_MS / 2).abs() < 60_000);
        assert_eq!(read_expiry("2027-01-31").unwrap().to_rfc3339(), "2027-01-31T00:00:00Z");
        assert_eq!(read_expiry("2027-01-31T13:00:00+01:00").unwrap().to_rfc3339(), "2027-01-31T12:00:00Z");
        for wrong in ["", "soon", "d", "-1d", "90", "31.1.2027"] {
            assert!(read_expiry(wrong).is_err(), "{wrong}");
        }
    }
}
