//! The ledger for whoever watches it: the signed checkpoint and the tiles of the tree, at C2SP tlog-tiles paths.
//!
//! In: paths. Out: a note, hashes. Invariants: what stands under the path of a tile never changes; hashes and signatures
//! tell nothing of any record, and are not stated as reads: a watcher that asks every minute would otherwise be what the
//! ledger is mostly about. Entries are not served as bundles; `GET /v1/events/{seq}` gives one, a pack gives many.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

use super::asking::{Asked, Named};
use crate::access::role::May;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::tile::Tile;
use crate::server::caller::Caller;
use crate::server::problem::Reply;
use crate::server::route::{About, Answer, Param, Place, Route};
use crate::server::state::Tenant;
use crate::store::Store;

const TEXT: &str = "text/plain";
const BYTES: &str = "application/octet-stream";
/// A tile is what its path says, for ever; it belongs to who may read this tenant.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/checkpoint", Some(May::Read), checkpoint).about(About {
            summary: "The newest signed checkpoint with its cosignatures (C2SP tlog-checkpoint).",
            params: &[],
            body: None,
            answers: &[Answer { status: 200, types: &[TEXT], schema: "", note: "a signed note" }],
        }),
        Route::get("/v1/tile/{level}/{*index}", Some(May::Read), tile).about(About {
            summary: "Hashes of the ledger's tree (C2SP tlog-tiles).",
            params: &[
                Param {
                    name: "level",
                    place: Place::Path,
                    is_required: true,
                    schema: "int64",
                    note: "level of tiles; 0 holds leaf hashes",
                },
                Param {
                    name: "index",
                    place: Place::Path,
                    is_required: true,
                    schema: "string",
                    note: "place in groups of three digits, and the width of an incomplete tile: x001/x234/067.p/5",
                },
            ],
            body: None,
            answers: &[Answer { status: 200, types: &[BYTES], schema: "", note: "up to 256 hashes of 32 bytes" }],
        }),
    ]
}

async fn checkpoint(caller: Caller, asked: Asked) -> Reply {
    asked.only(&[])?;
    let store = caller.tenant.store();
    let unsigned = || Error::not_found("nothing of this ledger is signed yet; it is at the next fold, with a key");
    let sealed = store.log().newest().await?.ok_or_else(unsigned)?;
    let note = store.cosigned(&sealed).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response())
}

async fn tile(caller: Caller, Named((level, index)): Named<(String, String)>, asked: Asked) -> Reply {
    asked.only(&[])?;
    let tile = Tile::parse(&format!("{level}/{index}"))?;
    let found = caller.tenant.store().log().tile(tile).await?;
    let missing = || Error::not_found(format!("there is no tile {} in this tree", tile.path()));
    Ok(([(CONTENT_TYPE, BYTES), (CACHE_CONTROL, FOR_EVER)], found.ok_or_else(missing)?).into_response())
}

/// Refuses what must be signed where the key of `store` does not sign the ledger.
///
/// # Errors
/// Invalid without a key; Conflict where it has handed over, and the new one is not to be had here; when the store fails.
pub(super) async fn check_signing(store: &Store) -> Result<()> {
    if store.has_current_key().await? {
        return Ok(());
    }
    if store.signer().is_none() {
        return Err(Error::invalid("this must be signed, and this server has no key to sign with"));
    }
    let words = "the key of this server has handed over and signs nothing more; start the server with the new key";
    Err(Error::new(ErrorKind::Conflict, words))
}

/// Folds where no checkpoint covers the first `end` events yet: what is proven must be signed.
///
/// # Errors
/// When the store fails.
pub(super) async fn cover(tenant: &Tenant, end: u64) -> Result<()> {
    let covered = tenant.store().log().newest().await?.map_or(0, |sealed| sealed.checkpoint.size);
    if covered < end {
        tenant.store().fold().await?;
        tenant.appender().shared().folded();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::ledger::note::Signer;
    use crate::store::object::Location;

    #[tokio::test]
    async fn no_key_and_one_that_has_handed_over_are_told_apart() {
        let signer = |seed: u8| Signer::new("log", [seed; 32]).unwrap();
        let clock = Clock::simulated(1_775_000_000_000_000, 5);
        let store = Store::create(Location::memory(), "default", clock).await.unwrap();
        assert_eq!(check_signing(&store).await.unwrap_err().kind(), ErrorKind::Invalid);
        let store = store.signed_by(Arc::new(signer(1)));
        check_signing(&store).await.unwrap();
        store.hand_over(&signer(2)).await.unwrap();
        assert_eq!(check_signing(&store).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}
