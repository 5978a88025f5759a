//! `claviger status`: what a running server says of itself.

use clap::Args;
use serde_json::json;

use super::connection::Administration;
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    administration: Administration,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    arguments.administration.perform("GetStatus", json!({})).await
}
