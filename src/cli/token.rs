//! `probity token`: who may use the server.

use serde_json::{Value, json};

use super::args::{Global, TokenCommand, TokenCreateArgs, TokenRevokeArgs};
use super::output::Output;
use super::{Answer, open, person};
use crate::access::role::Role;
use crate::access::token::{self, Grant, Order, Sealed};
use crate::clock::{DAY, rfc3339};
use crate::error::Result;

/// Makes, lists or revokes tokens.
///
/// # Errors
/// When there is no store, or it fails; a role or a name that is none.
pub async fn run(global: &Global, command: &TokenCommand, out: &Output) -> Result<Answer> {
    match command {
        TokenCommand::Create(args) => create(global, args, out).await,
        TokenCommand::List => list(global, out).await,
        TokenCommand::Revoke(args) => revoke(global, args, out).await,
    }
}

async fn create(global: &Global, args: &TokenCreateArgs, out: &Output) -> Result<Answer> {
    let (role, by) = (Role::parse(&args.role)?, person(args.by.as_deref())?);
    let store = open(global).await?;
    let order = Order {
        name: args.name.clone(),
        role,
        sealed: if args.sealed { Sealed::Shown } else { Sealed::ByRole },
        expires_at: args.expires_days.map(|days| store.clock().now() + i64::from(days) * DAY),
    };
    let (grant, text) = token::create(&store, &order, &by).await?;
    out.say(&format!("token {} for {}; keep it now, it cannot be shown again", grant.id, words(&grant)));
    out.result(&text)?;
    let mut told = grant.to_json();
    told["token"] = json!(text);
    out.json(&told)?;
    Ok(Answer::Done)
}

async fn list(global: &Global, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let grants = token::list(&store).await?;
    let now = store.clock().now();
    for grant in &grants {
        let end = match (grant.revoked_at, grant.expires_at) {
            (Some(at), _) => format!("revoked {}", rfc3339(at)),
            (None, Some(at)) if at <= now => format!("expired {}", rfc3339(at)),
            (None, Some(at)) => format!("until {}", rfc3339(at)),
            (None, None) => "without end".to_owned(),
        };
        out.result(&format!("{}  {}, made {}, {end}", grant.id, words(grant), rfc3339(grant.created_at)))?;
    }
    if grants.is_empty() {
        out.say("there is no token: on a loopback address everybody on the machine is admitted by `probity serve`");
    }
    out.json(&json!({"tokens": grants.iter().map(Grant::to_json).collect::<Vec<Value>>()}))?;
    Ok(Answer::Done)
}

async fn revoke(global: &Global, args: &TokenRevokeArgs, out: &Output) -> Result<Answer> {
    let by = person(args.by.as_deref())?;
    let store = open(global).await?;
    let grant = token::revoke(&store, &args.id, &by).await?;
    out.say(&format!("revoked token {} of {}; a running server heeds it within seconds", grant.id, words(&grant)));
    out.json(&grant.to_json())?;
    Ok(Answer::Done)
}

fn words(grant: &Grant) -> String {
    let sealed = match (grant.role, grant.sees_sealed) {
        (Role::Auditor, true) => ", sealed values shown",
        _ => "",
    };
    format!("{} ({}{sealed})", grant.name, grant.role.word())
}
