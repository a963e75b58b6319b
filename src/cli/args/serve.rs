//! `serve` and `token` as typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen; only a loopback address without TLS. Port 0: a free one, which is printed
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Certificate chain of the server (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// How OpenTelemetry spans become events: a mapping's name, or a file that ends in .sql
    #[arg(long, default_value = "otel_genai", value_name = "NAME|FILE.sql")]
    pub otlp_map: String,
}

/// `token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is printed once and never again
    Create(TokenCreateArgs),
    /// List the tokens, those that ended included
    List,
    /// Revoke a token: it admits nobody from now on
    Revoke(TokenRevokeArgs),
}

/// `token create`.
#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    /// Who is to hold it; reads and decisions are recorded under this name
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// What the holder may do: ingest, analyst, reviewer, responder, auditor, admin
    #[arg(long, value_name = "ROLE")]
    pub role: String,
    /// Let an auditor see sealed values: old and new values, errors, comments, extra
    #[arg(long)]
    pub sealed: bool,
    /// Days after which the token ends by itself [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    pub expires_days: Option<u16>,
    /// Who decides this [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `token revoke`.
#[derive(Debug, Args)]
pub struct TokenRevokeArgs {
    /// Id of the token, as `token list` tells it
    #[arg(value_name = "ID")]
    pub id: String,
    /// Who decides this [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}
