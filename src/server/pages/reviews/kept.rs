//! The accounts of reviews that were looked at last, so that a reviewer's next item does not wait for the frame.
//!
//! In: a review. Out: its account as of a session. Invariant: what is kept is only what a plan decides for ever; marks,
//! draws and decisions are read anew each time, and what was erased since is looked for. Frames larger than the bound
//! are picked each time.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use crate::error::Result;
use crate::query::engine::Engine;
use crate::review::account::Account;
use crate::review::ground::Ground;
use crate::review::leaf::Source;
use crate::review::record;
use crate::server::state::Tenant;

/// Accounts that are kept.
const ACCOUNTS: usize = 8;
/// Items of a frame that is kept at most: some 200 bytes each.
const ITEMS: u64 = 100_000;

static KEPT: LazyLock<Mutex<VecDeque<Kept>>> = LazyLock::new(Mutex::default);

struct Kept {
    key: [String; 3],
    account: Arc<Account>,
}

/// The account of the review `id` as of `engine`, which sees everything.
///
/// # Errors
/// NotFound when there is no such review; when a bound is met or the store fails.
pub(in crate::server) async fn account(tenant: &Tenant, engine: &Engine, id: &str) -> Result<Arc<Account>> {
    let key = [tenant.store().url().to_owned(), tenant.name().to_owned(), id.to_owned()];
    let known = kept().iter().find(|kept| kept.key == key).map(|kept| kept.account.clone());
    let account = match known {
        Some(known) if known.size == engine.as_of().size => return Ok(known),
        Some(known) => known.renewed(tenant.store(), engine).await?,
        None => {
            let review = record::one(engine, id).await?;
            Account::of(Ground::Evidence(tenant.store()), review, engine.as_of().size, Source::Tiles).await?
        }
    };
    let account = Arc::new(account);
    if account.review.plan().frame.items <= ITEMS {
        let mut kept = kept();
        kept.retain(|kept| kept.key != key);
        kept.push_front(Kept { key, account: account.clone() });
        kept.truncate(ACCOUNTS);
    }
    Ok(account)
}

fn kept() -> MutexGuard<'static, VecDeque<Kept>> {
    KEPT.lock().unwrap_or_else(|e| e.into_inner())
}
