//! `probity serve`: the API and the pages over a store.

use std::net::SocketAddr;

use serde_json::json;

use super::args::{Global, ServeArgs};
use super::ingest::find_mapping;
use super::output::Output;
use super::{Answer, give_memory_back, open_or_create, person};
use crate::access::token;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::server::listen::Door;
use crate::server::state::{App, Logging, Reach, Setup};
use crate::server::{self, tls};
use crate::store::object::Location;
use crate::witness::server::interrupted;

/// Serves until interrupted.
///
/// # Errors
/// Invalid when others could reach it without TLS or without a token; when the address is taken or the store fails.
pub async fn run(global: &Global, args: &ServeArgs, out: &Output) -> Result<Answer> {
    let store = open_or_create(global, out).await?;
    let has_tokens = !token::list(&store).await?.is_empty();
    let acceptor = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(tls::acceptor(cert, key)?),
        _ => None,
    };
    let reach = if acceptor.is_some() { Reach::Tls } else { Reach::Loopback };
    check_reach(args.listen, reach, has_tokens)?;
    // Work that takes long and needs much at one time and little at others.
    give_memory_back();
    let door = Door::open(args.listen, acceptor).await?;
    drop(store);
    let app = App::open(setup(global, (args.otlp_map.as_str(), reach), out)?).await?;
    let scheme = if reach == Reach::Tls { "https" } else { "http" };
    let url = format!("{scheme}://{}", door.address()?);
    out.result(&url)?;
    out.json(&json!({"url": url, "mode": if has_tokens { "tokens" } else { "local" }}))?;
    serve(app, door, has_tokens, out).await
}

/// What a server is started with by these options.
pub(super) fn setup(global: &Global, (otlp_map, reach): (&str, Reach), out: &Output) -> Result<Setup> {
    Ok(Setup {
        location: Location::open(&global.store())?,
        tenant: global.tenant.clone(),
        key: global.key(),
        clock: Clock::system(),
        otlp: find_mapping(otlp_map)?,
        person: person(None)?,
        reach,
        log: if out.is_quiet { Logging::Failures } else { Logging::Requests },
    })
}

/// Serves `app` at `door` until interrupted.
pub(super) async fn serve(app: App, door: Door, has_tokens: bool, out: &Output) -> Result<Answer> {
    if !has_tokens {
        out.say("there is no token yet: everybody on this machine is admitted as an administrator");
    }
    out.say("stop with ctrl-c");
    server::serve(app, door, interrupted()).await?;
    Ok(Answer::Done)
}

/// Whoever can reach the server from elsewhere must come by TLS and with a token.
fn check_reach(listen: SocketAddr, reach: Reach, has_tokens: bool) -> Result<()> {
    if listen.ip().is_loopback() && (reach == Reach::Loopback || has_tokens) {
        return Ok(());
    }
    let refused = |what: &str| {
        Err(Error::invalid(format!("{listen} {what}; or listen on 127.0.0.1 without TLS, for this machine only")))
    };
    match (reach, has_tokens) {
        (Reach::Loopback, _) => refused("can be reached from elsewhere and needs TLS: give --tls-cert and --tls-key"),
        (Reach::Tls, false) => refused("is served by TLS and needs a token: make one with `probity token create`"),
        (Reach::Tls, true) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_can_be_reached_from_elsewhere_needs_tls_and_a_token() {
        let (here, elsewhere): (SocketAddr, SocketAddr) =
            ("127.0.0.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap());
        for (listen, reach, has_tokens, expected) in [
            (here, Reach::Loopback, false, true),
            (here, Reach::Loopback, true, true),
            (here, Reach::Tls, true, true),
            (here, Reach::Tls, false, false),
            (elsewhere, Reach::Loopback, true, false),
            (elsewhere, Reach::Loopback, false, false),
            (elsewhere, Reach::Tls, false, false),
            (elsewhere, Reach::Tls, true, true),
        ] {
            assert_eq!(check_reach(listen, reach, has_tokens).is_ok(), expected, "{listen} {reach:?} {has_tokens}");
        }
    }
}
