//! `probity key`: which key signs the ledger, and a new one in its place.
//!
//! A rotation runs in an order that any crash may cut: the new key is durable beside the old one; the handover, signed
//! by both, is durable; the new key takes the old one's place, which destroys that; an event says so. Until the
//! handover is there the old key signs, from then on the new one, whichever file name it has by then.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::args::{Global, KeyRotateArgs};
use super::output::Output;
use super::{Answer, open, person};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cell, Column};
use crate::ingest::writer::Writer;
use crate::ledger::note::{Kind, Signer};
use crate::store::object::Location;
use crate::store::{Store, keys};

/// `field` of the `config.changed` event that says that the key was changed.
const FIELD: &str = "ledger.key";

/// Prints the key that signs, and those before it.
///
/// # Errors
/// When there is no store, no key, or the handovers are damaged.
pub async fn show(global: &Global, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let signer = signer_of(&store)?;
    let succession = store.succession(&signer).await?;
    let former = &succession.all()[..succession.all().len() - succession.forward().len()];
    out.result(&signer.vkey())?;
    for reign in former {
        let until = reign.until.unwrap_or_default();
        out.say(&format!("before it, from {} to {until} events: {}", reign.from, reign.key));
    }
    if let Some(until) = succession.trusted().until {
        out.say(&format!("this key handed over at {until} events and signs nothing more; take the new one"));
    }
    let former: Vec<_> = former
        .iter()
        .map(|reign| json!({"vkey": reign.key.to_string(), "from": reign.from, "until": reign.until}))
        .collect();
    let (vkey, from) = (signer.vkey(), succession.trusted().from);
    out.json(&json!({
        "origin": signer.name(), "vkey": vkey, "from": from, "is_current": succession.is_current(), "former": former,
    }))?;
    Ok(Answer::Done)
}

/// Puts a new key in the place of the one that signs.
///
/// # Errors
/// When there is no key, its file cannot be replaced, or the store fails; a rotation that was cut off is finished by
/// running it again.
pub async fn rotate(global: &Global, args: &KeyRotateArgs, out: &Output) -> Result<Answer> {
    let person = person(args.by.as_deref())?;
    let location = Location::open(&global.store())?;
    let file = keys::file_of(&location, &global.tenant, global.key().as_deref())
        .ok_or_else(|| Error::invalid("the key of a remote store lies in a file; name it with --key FILE"))?;
    let was_cut_off = keys::next_of(&file).exists();
    let store = open(global).await?;
    let signer = signer_of(&store)?;
    if was_cut_off && !keys::next_of(&file).exists() {
        // Opening finished what was cut off after the handover: that was the rotation, and this says so.
        let handed = store.handovers().await?.pop();
        let handover = handed.ok_or_else(|| Error::internal("a rotation was finished without a handover"))?.handover;
        let old = handover.old.to_string();
        return tell(&store, (old.as_str(), signer.as_ref()), &person, out).await;
    }
    let next = next_key(&file, &signer, store.clock())?;
    store.hand_over(&next).await?;
    keys::promote(&file)?;
    let old = signer.vkey();
    let store = store.signed_by(Arc::new(next));
    let signer = signer_of(&store)?;
    tell(&store, (old.as_str(), signer.as_ref()), &person, out).await
}

/// States in the evidence that the key was changed, signs that with the new one, and says it.
async fn tell(store: &Store, (old, signer): (&str, &Signer), person: &str, out: &Output) -> Result<Answer> {
    let mut writer = Writer::new(store);
    let mut event = writer.statement("config.changed");
    event.set(Column::OccurredAt, Cell::Instant(store.clock().now()));
    event.set_text(Column::EventId, format!("{FIELD}/{:08x}", signer.verifier(Kind::Ed25519).id()));
    event.set_text(Column::Field, FIELD);
    event.set_text(Column::OldValue, old.to_owned());
    event.set_text(Column::NewValue, signer.vkey());
    event.set_text(Column::ActorKind, "human");
    event.set_text(Column::ActorId, person.to_owned());
    let seq = writer.state_once(&event).await?;
    store.fold().await?;
    let size = store.newest_checkpoint().await?.checkpoint.size;
    out.say(&format!(
        "the ledger is signed by a new key from now on; give auditors this one, theirs stays good as well: {}",
        signer.vkey()
    ));
    out.say("the secret key of before was deleted; what it signed stays valid");
    out.json(&json!({"old_vkey": old, "vkey": signer.vkey(), "size": size, "seq": seq}))?;
    Ok(Answer::Done)
}

/// The key that lies beside the old one from an attempt that was cut off, else a new one.
fn next_key(file: &Path, signer: &Signer, clock: &Clock) -> Result<Signer> {
    let next = keys::next_of(file);
    match keys::create(&next, signer.name(), clock) {
        Err(e) if e.kind() == ErrorKind::Conflict => keys::read(&next),
        created => created,
    }
}

fn signer_of(store: &Store) -> Result<Arc<Signer>> {
    store.signer().cloned().ok_or_else(|| {
        Error::invalid("the store has no signing key here; name it with --key FILE, or make one with `probity init`")
    })
}
