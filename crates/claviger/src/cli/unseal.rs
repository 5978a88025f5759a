//! `claviger unseal`: one person brings one share, or types a passphrase, to a server that waits for it.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use claviger_hsm::{SHARE_LINES, Share};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::connection::ServerOnly;
use super::output;
use crate::config::PassphraseSource;
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file with the share; - for standard input [default: it is typed, line by line, and not shown]
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    share: Option<PathBuf>,
    /// Type a passphrase instead of a share
    #[arg(long)]
    passphrase: bool,
    /// The seal that the passphrase opens, where there are several
    #[arg(long, value_name = "SEAL", requires = "passphrase")]
    seal: Option<String>,
    /// Only say what the server waits for
    #[arg(long, conflicts_with_all = ["share", "passphrase"])]
    status: bool,
    #[command(flatten)]
    server: ServerOnly,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    let client = arguments.server.client()?;
    if arguments.status {
        let answer: Value = client.ask_openly("/unseal", None).await?;
        return say(&answer, "waits");
    }
    let body = if arguments.passphrase {
        let passphrase = PassphraseSource::Prompt.read(false)?;
        json!({ "passphrase": passphrase.as_str(), "seal": arguments.seal })
    } else {
        let share = match &arguments.share {
            Some(file) => read_share(file)?,
            None => type_share()?,
        };
        // What is mistyped is found here already, without telling anybody.
        Share::parse(&share).map_err(|error| Problem::new(error.to_string()).remedy("compare it with what was printed"))?;
        json!({ "share": share.as_str() })
    };
    let answer: Value = client.ask_openly("/unseal", Some(&body)).await?;
    say(&answer, "message")
}

fn say(answer: &Value, member: &str) -> Result<(), Problem> {
    output::line(answer.get(member).and_then(Value::as_str).unwrap_or("the server said nothing"))
}

/// The text of a share in a file, or in standard input for `-`.
pub(super) fn read_share(file: &Path) -> Result<Zeroizing<String>, Problem> {
    /// A share has about a hundred characters; comments may stand beside it.
    const BYTES_MAX: usize = 4096;
    let failed = |error: io::Error| Problem::new(format!("cannot read the share in {}: {error}", file.display()));
    let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX));
    let limit = BYTES_MAX as u64;
    if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(file).map_err(failed)?.take(limit).read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text)
}

/// Asks for a share at the terminal. Each line is looked at when it was typed.
pub(super) fn type_share() -> Result<Zeroizing<String>, Problem> {
    if !io::stdin().is_terminal() {
        return Err(Problem::usage("the share should be typed, but there is no terminal")
            .remedy("name the file that it is in with --share FILE, or - for standard input"));
    }
    output::note(format_args!("The share has {SHARE_LINES} lines. What you type is not shown."));
    let mut share = Zeroizing::new(String::with_capacity(256));
    for number in 1..=SHARE_LINES {
        loop {
            let line = rpassword::prompt_password(format!("Line {number}: "))
                .map(Zeroizing::new)
                .map_err(|error| Problem::new(format!("cannot read from the terminal: {error}")))?;
            match Share::check_line(number, &line) {
                Ok(()) => {
                    share.push_str(&line);
                    share.push('\n');
                    break;
                }
                Err(error) => output::note(format_args!("{error}: type it again")),
            }
        }
    }
    Ok(share)
}
