//! Who is admitted: grants as the store holds them, remembered for a few seconds.
//!
//! In: a token, or a grant that a session stands for. Out: the grant in force. Invariants: a revocation holds within
//! [`GRANT_SECONDS`], everywhere; a token of one tenant is sought among that tenant's grants and nowhere else; whoever
//! sends tokens at random costs one look at an object each and no memory to speak of.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::lock;
use crate::access::token::{self, Grant, Presented};
use crate::clock::Clock;
use crate::error::Result;
use crate::limits::{GRANT_SECONDS, GRANTS_KNOWN};
use crate::store::object::Location;

/// The grants of a store.
#[derive(Debug)]
pub(super) struct Grants {
    location: Location,
    clock: Clock,
    known: Mutex<HashMap<(String, String), Known>>,
    /// Whether a token was ever seen to exist, and when it was last looked for one.
    exists: AtomicBool,
    looked: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone)]
struct Known {
    grant: Option<Grant>,
    at: Instant,
}

impl Grants {
    /// Nothing is remembered yet.
    pub(super) fn new(location: Location, clock: Clock) -> Self {
        let (known, exists, looked) = (Mutex::default(), AtomicBool::new(false), Mutex::default());
        Self { location, clock, known, exists, looked }
    }

    /// The grant that the token admits to now, if any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn admit(&self, presented: &Presented) -> Result<Option<Grant>> {
        let grant = self.find(&presented.tenant, &presented.id).await?;
        Ok(grant.filter(|grant| grant.admits(presented, self.clock.now())))
    }

    /// The grant with this id, if it is in force now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn in_force(&self, tenant: &str, id: &str) -> Result<Option<Grant>> {
        let grant = self.find(tenant, id).await?;
        Ok(grant.filter(|grant| grant.is_in_force(self.clock.now())))
    }

    /// Whether `tenant` has a token, be it expired or revoked. Once it has, it has one for ever.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn exist(&self, tenant: &str) -> Result<bool> {
        if self.exists.load(Ordering::Acquire) {
            return Ok(true);
        }
        let is_fresh = lock(&self.looked).is_some_and(|at| at.elapsed() < Duration::from_secs(1));
        if is_fresh {
            return Ok(false);
        }
        let found = token::exists(&self.location, tenant).await?;
        if found {
            self.exists.store(true, Ordering::Release);
        }
        *lock(&self.looked) = Some(Instant::now());
        Ok(found)
    }

    async fn find(&self, tenant: &str, id: &str) -> Result<Option<Grant>> {
        let key = (tenant.to_owned(), id.to_owned());
        let known = lock(&self.known).get(&key).cloned();
        if let Some(known) = known.filter(|known| known.at.elapsed() < Duration::from_secs(GRANT_SECONDS)) {
            return Ok(known.grant);
        }
        // From before the look: a revocation between the two must not be hidden for longer.
        let at = Instant::now();
        let grant = token::find(&self.location, tenant, id).await?;
        let mut known = lock(&self.known);
        if known.len() >= GRANTS_KNOWN {
            known.retain(|_, known| known.grant.is_some() && known.at.elapsed() < Duration::from_secs(GRANT_SECONDS));
        }
        if known.len() < GRANTS_KNOWN {
            known.insert(key, Known { grant: grant.clone(), at });
        }
        Ok(grant)
    }
}
