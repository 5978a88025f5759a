//! `claviger decrypt`: the way back from `claviger encrypt`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::connection::KmsConnection;
use super::encrypt::{ENDING, decode_data_key};
use super::files::{Input, Output, default_output, file_problem, transfer};
use crate::client::{CallError, Client, Target};
use crate::file_encryption::{DATA_KEY_BYTES, Header, decrypt, encryption_context};
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The encrypted file; - for standard input
    file: PathBuf,
    /// Accept files under this key only: its id, ARN, alias or alias ARN
    #[arg(long, short, value_name = "KEY")]
    key: Option<String>,
    /// Where the content goes; - for standard output [default: FILE without .claviger]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: KmsConnection,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    let target = match &arguments.output {
        Some(path) => path.clone(),
        None => default_output(&arguments.file, without_ending)?,
    };
    let client = arguments.connection.client()?;
    let mut input = Input::open(&arguments.file)?;
    let header = Header::read(&mut input).map_err(|error| file_problem(input.name(), &error))?;
    let key = open_data_key(&client, &header, arguments.key.as_deref(), input.name()).await?;
    let output = Output::open(&target, arguments.force)?;
    transfer(input, output, move |input, output, progress| decrypt(&header, &key, input, output, progress)).await
}

fn without_ending(name: &str) -> Result<String, Problem> {
    name.strip_suffix(ENDING).filter(|rest| !rest.is_empty()).map(str::to_owned).ok_or_else(|| {
        Problem::usage(format!("{name} does not end in {ENDING}, so it is not clear what to call its content"))
            .remedy("name the output with -o")
    })
}

async fn open_data_key(
    client: &Client,
    header: &Header,
    key: Option<&str>,
    name: &str,
) -> Result<Zeroizing<[u8; DATA_KEY_BYTES]>, Problem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        plaintext: String,
    }

    let target = Target { service: "kms", prefix: "TrentService", operation: "Decrypt" };
    let mut input =
        json!({ "CiphertextBlob": STANDARD.encode(header.encrypted_key()), "EncryptionContext": encryption_context() });
    if let (Some(key), Some(members)) = (key, input.as_object_mut()) {
        members.insert("KeyId".to_owned(), key.into());
    }
    match client.call::<Answer>(target, &input).await {
        Ok(answer) => decode_data_key(answer.plaintext),
        Err(CallError::Refused { code, .. }) if code.starts_with("InvalidCiphertext") => {
            Err(Problem::new(format!("{name}: the server does not recognise the data key in the file's header"))
                .remedy("the header was changed, or the file belongs to another deployment"))
        }
        Err(CallError::Refused { code, .. }) if code.starts_with("IncorrectKey") => {
            Err(Problem::new(format!("{name}: the file was encrypted under another key than --key names")))
        }
        Err(error) => Err(error.into()),
    }
}
