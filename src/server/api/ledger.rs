//! The ledger for whoever watches it: the signed checkpoint and the tiles of the tree, at C2SP tlog-tiles paths.
//!
//! In: paths. Out: a note, hashes. Invariants: what stands under the path of a tile never changes; hashes and signatures
//! tell nothing of any record, and are not stated as reads: a watcher that asks every minute would otherwise be what the
//! ledger is mostly about. Entries are not served as bundles; `GET /v1/events/{seq}` gives one, a pack gives many.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

use super::asking::{Asked, Named};
use crate::access::role::May;
use crate::error::{Error, Result};
use crate::ledger::tile::Tile;
use crate::server::caller::Caller;
use crate::server::problem::Reply;
use crate::server::route::{About, Answer, Param, Place, Route};
use crate::server::state::Tenant;

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
