//! `probity witness`: an auditor's cosigner, and the operator who asks it.

use std::ffi::OsStr;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::args::{Global, WitnessAskArgs, WitnessInitArgs, WitnessServeArgs};
use super::output::{Output, thousands};
use super::{Answer, open};
use crate::auditor::{read_key, read_policy, read_witness_key};
use crate::clock::{Clock, Micros, SECOND, rfc3339};
use crate::error::{Error, Result};
use crate::ledger::cosignature;
use crate::ledger::note::Verifier;
use crate::ledger::trust::Policy;
use crate::store::cosign::Witnessed;
use crate::store::{Store, keys};
use crate::witness::client::Client;
use crate::witness::server::{self, Witness};

/// A witness that is to be asked.
pub(super) struct Asked {
    name: String,
    url: String,
    key: Verifier,
}

/// What it answered.
pub(super) struct Told {
    /// For people.
    pub(super) line: String,
    json: Value,
    is_cosigned: bool,
}

/// Makes the key of a witness.
///
/// # Errors
/// When there is a key already, or it cannot be written.
pub fn init(args: &WitnessInitArgs, out: &Output) -> Result<Answer> {
    let signer = keys::create(&args.witness_key, &args.name, &Clock::system())?;
    let vkey = cosignature::vkey(&signer);
    out.say("give whoever keeps the log this key, and put it into your trust policy: witness NAME KEY [URL]");
    out.result(&vkey)?;
    out.json(&json!({"name": signer.name(), "vkey": vkey, "key": args.witness_key.display().to_string()}))?;
    Ok(Answer::Done)
}

/// Serves a witness until interrupted.
///
/// # Errors
/// When the key or the state cannot be used, or the address is taken.
pub async fn serve(args: &WitnessServeArgs, out: &Output) -> Result<Answer> {
    let signer = keys::read(&args.witness_key)?;
    let logs = args.logs.iter().map(|log| read_key(OsStr::new(log))).collect::<Result<Vec<_>>>()?;
    let witness = Witness::open(signer, &logs, &args.state, Clock::system())?;
    for (log, reason) in witness.refused() {
        eprintln!("error: log `{log}` is not followed: {reason}");
    }
    let taken = |e: std::io::Error| {
        Error::unavailable(format!("cannot listen on {}; name another address", args.listen)).because(e)
    };
    let listener = TcpListener::bind(args.listen).await.map_err(taken)?;
    let address = listener.local_addr().map_err(|e| Error::internal("a bound socket has no address").because(e))?;
    let (url, vkey) = (format!("http://{address}"), witness.vkey());
    out.result(&url)?;
    out.json(&json!({"url": url, "vkey": vkey, "logs": logs.iter().map(Verifier::name).collect::<Vec<_>>()}))?;
    out.say(&format!("{vkey} cosigns for {} logs; stop with ctrl-c", logs.len()));
    server::serve(listener, witness, server::interrupted()).await?;
    Ok(Answer::Done)
}

/// Has the newest checkpoint cosigned.
///
/// # Errors
/// When nobody is to be asked, or the store cannot be read; a witness that does not cosign makes the answer no.
pub async fn ask(global: &Global, args: &WitnessAskArgs, out: &Output) -> Result<Answer> {
    let witnesses = match (&args.trust, &args.url, &args.vkey) {
        (Some(file), _, _) => known(&read_policy(file)?),
        (None, Some(url), Some(vkey)) => {
            let key = read_witness_key(OsStr::new(vkey))?;
            vec![Asked { name: key.name().to_owned(), url: url.clone(), key }]
        }
        _ => return Err(Error::invalid("nobody is named; give --trust FILE, or --url URL with --vkey KEY")),
    };
    if witnesses.is_empty() {
        return Err(Error::invalid("no witness of the trust policy has a URL; write it as: witness NAME KEY URL"));
    }
    let store = open(global).await?;
    store.fold().await?;
    let told = ask_all(&store, &witnesses).await;
    for one in &told {
        out.result(&one.line)?;
    }
    let is_whole = told.iter().all(|one| one.is_cosigned);
    let witnesses: Vec<Value> = told.into_iter().map(|one| one.json).collect();
    out.json(&json!({"ok": is_whole, "witnesses": witnesses}))?;
    Ok(if is_whole { Answer::Done } else { Answer::NotAll })
}

/// The witnesses of a policy that can be asked.
pub(super) fn known(policy: &Policy) -> Vec<Asked> {
    let with_url = |(name, key, url): (String, &Verifier, Option<&str>)| {
        Some(Asked { name, url: url?.to_owned(), key: key.clone() })
    };
    policy.witnesses().filter_map(with_url).collect()
}

/// Asks all of them at once; what each answers, in their order.
pub(super) async fn ask_all(store: &Store, witnesses: &[Asked]) -> Vec<Told> {
    let answers = futures::future::join_all(witnesses.iter().map(|witness| ask_one(store, witness))).await;
    witnesses.iter().zip(answers).map(|(witness, answer)| Told::of(witness, answer)).collect()
}

async fn ask_one(store: &Store, witness: &Asked) -> Result<Witnessed> {
    store.ask_witness(&Client::new(&witness.url, &witness.key)?).await
}

impl Told {
    fn of(Asked { name, url, .. }: &Asked, answer: Result<Witnessed>) -> Self {
        match answer {
            Ok(Witnessed { size, time }) => {
                let at = rfc3339(Micros::try_from(time).unwrap_or(Micros::MAX).saturating_mul(SECOND));
                let line = format!("{name}: cosigned {} events at {at}", thousands(size));
                let json = json!({"name": name, "url": url, "cosigned": true, "tree_size": size, "at": at});
                Self { line, json, is_cosigned: true }
            }
            Err(e) => {
                let json = json!({"name": name, "url": url, "cosigned": false, "reason": e.to_string()});
                Self { line: format!("{name}: not cosigned: {e}"), json, is_cosigned: false }
            }
        }
    }
}
