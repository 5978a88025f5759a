//! `claviger encrypt`: envelope encryption of a file.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

use super::connection::KmsConnection;
use super::files::{Input, Output, default_output, transfer};
use crate::client::{Client, Target};
use crate::file_encryption::{DATA_KEY_BYTES, DataKey, encrypt, encryption_context};
use crate::problem::Problem;

/// What encrypted files are called: the name and this.
pub(super) const ENDING: &str = ".claviger";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file; - for standard input
    file: PathBuf,
    /// The key: its id, ARN, alias or alias ARN
    #[arg(long, short, value_name = "KEY")]
    key: String,
    /// Where the encrypted file goes; - for standard output [default: FILE.claviger]
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
        None => default_output(&arguments.file, |name| Ok(format!("{name}{ENDING}")))?,
    };
    if target == Path::new("-") && io::stdout().is_terminal() {
        return Err(
            Problem::usage("an encrypted file cannot be shown on a terminal").remedy("name a file with -o, or pipe it on")
        );
    }
    let client = arguments.connection.client()?;
    let input = Input::open(&arguments.file)?;
    let output = Output::open(&target, arguments.force)?;
    let key = generate_data_key(&client, &arguments.key).await?;
    transfer(input, output, move |input, output, progress| encrypt(&key, input, output, progress)).await
}

async fn generate_data_key(client: &Client, key: &str) -> Result<DataKey, Problem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        plaintext: String,
        ciphertext_blob: String,
    }

    let target = Target { service: "kms", prefix: "TrentService", operation: "GenerateDataKey" };
    let input = json!({ "KeyId": key, "KeySpec": "AES_256", "EncryptionContext": encryption_context() });
    let answer: Answer = client.call(target, &input).await?;
    Ok(DataKey {
        plaintext: decode_data_key(answer.plaintext)?,
        encrypted: STANDARD
            .decode(answer.ciphertext_blob)
            .map_err(|_| Problem::new("the server's answer holds a CiphertextBlob that is not base64"))?,
    })
}

/// The data key in a server's answer. The text is wiped.
pub(super) fn decode_data_key(mut text: String) -> Result<Zeroizing<[u8; DATA_KEY_BYTES]>, Problem> {
    let decoded = STANDARD.decode(&text).map(Zeroizing::new);
    text.zeroize();
    let wrong = || Problem::new(format!("the server's answer holds no data key of {DATA_KEY_BYTES} bytes"));
    let decoded = decoded.map_err(|_| wrong())?;
    let key: &[u8; DATA_KEY_BYTES] = decoded.as_slice().try_into().map_err(|_| wrong())?;
    Ok(Zeroizing::new(*key))
}
