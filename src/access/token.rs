//! Tokens: who they name, and how they are kept, shown once, and recognised.
//!
//! In: an order for a token, a token as somebody presents it. Out: grants, one object each, `tenants/<t>/access/<id>.json`.
//! A token reads `probity_<tenant>_<id>_<secret>`: 32 hexadecimal digits, 32 random bytes as base64url. Invariants: of
//! the secret only its SHA-256 is stored; it is compared in constant time; a grant is never deleted, so that a name can
//! be told for every read; creating and revoking are `config.changed` events. Until that event is durable a new token is
//! shown to nobody.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::role::Role;
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::event::parse::instant;
use crate::event::{Cell, Column};
use crate::ingest::writer::Writer;
use crate::ledger::hash::hex;
use crate::limits::{GRANT_NAME_BYTES, GRANT_OBJECT_BYTES, TENANT_BYTES};
use crate::store::Store;
use crate::store::object::{Location, object_error};
use crate::store::paths::Paths;

/// `field` of the `config.changed` events that tell of tokens.
pub const FIELD: &str = "access_token";
/// What every token begins with, so that scanners find one that leaked.
const PREFIX: &str = "probity_";
const ID_LETTERS: usize = 32;
const SECRET_LETTERS: usize = 43;

/// What a token admits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Names the token without admitting to anything.
    pub id: String,
    /// Who holds it.
    pub name: String,
    /// What the holder may do.
    pub role: Role,
    /// Whether the holder sees sealed values.
    pub sees_sealed: bool,
    /// When it was made.
    pub created_at: Micros,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Micros>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Micros>,
    sha256: String,
}

/// What somebody asks a token for.
#[derive(Debug, Clone)]
pub struct Order {
    /// Who is to hold it.
    pub name: String,
    /// What the holder may do.
    pub role: Role,
    /// Whether an auditor is to see sealed values; every other role that reads sees them anyhow.
    pub sealed: Sealed,
    /// When it is to end by itself.
    pub expires_at: Option<Micros>,
}

/// What an order says of sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// As the role has it.
    ByRole,
    /// Shown.
    Shown,
}

/// A token as somebody presents it.
#[derive(Clone)]
pub struct Presented {
    /// Whose evidence it is for.
    pub tenant: String,
    /// Id of its grant.
    pub id: String,
    secret: String,
}

impl std::fmt::Debug for Presented {
    /// The secret stays out of every log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented").field("tenant", &self.tenant).field("id", &self.id).finish_non_exhaustive()
    }
}

/// A grant as it lies in the store.
#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    id: String,
    name: String,
    role: String,
    sees_sealed: bool,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    sha256: String,
}

const FORMAT: u32 = 1;

impl Grant {
    /// Whether it holds at `now`.
    pub fn is_in_force(&self, now: Micros) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether `presented` is its token, and it holds at `now`.
    pub fn admits(&self, presented: &Presented, now: Micros) -> bool {
        let found = digest(&presented.secret);
        let is_its = self.id == presented.id && bool::from(self.sha256.as_bytes().ct_eq(found.as_bytes()));
        is_its && self.is_in_force(now)
    }

    /// What people may know of it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "role": self.role.word(),
            "sees_sealed": self.sees_sealed,
            "created_at": rfc3339(self.created_at),
            "expires_at": self.expires_at.map(rfc3339),
            "revoked_at": self.revoked_at.map(rfc3339),
        })
    }

    /// What the evidence tells of it.
    fn told(&self) -> String {
        let told = json!({
            "id": self.id,
            "name": self.name,
            "role": self.role.word(),
            "sees_sealed": self.sees_sealed,
            "expires_at": self.expires_at.map(rfc3339),
        });
        told.to_string()
    }

    fn to_kept(&self) -> Kept {
        Kept {
            format: FORMAT,
            id: self.id.clone(),
            name: self.name.clone(),
            role: self.role.word().to_owned(),
            sees_sealed: self.sees_sealed,
            created_at: rfc3339(self.created_at),
            expires_at: self.expires_at.map(rfc3339),
            revoked_at: self.revoked_at.map(rfc3339),
            sha256: self.sha256.clone(),
        }
    }

    fn from_kept(kept: Kept) -> Result<Self> {
        let read = |text: &str| instant(text).map_err(|_| Error::damaged("it holds an instant that is none"));
        if kept.format > FORMAT {
            return Err(Error::invalid("it was written by a newer version; upgrade"));
        }
        Ok(Self {
            role: Role::parse(&kept.role)?,
            created_at: read(&kept.created_at)?,
            expires_at: kept.expires_at.as_deref().map(read).transpose()?,
            revoked_at: kept.revoked_at.as_deref().map(read).transpose()?,
            id: kept.id,
            name: kept.name,
            sees_sealed: kept.sees_sealed,
            sha256: kept.sha256,
        })
    }
}

/// Reads a token.
///
/// # Errors
/// Invalid for anything that is none; the message repeats nothing of it.
pub fn parse(text: &str) -> Result<Presented> {
    let none = || Error::invalid("this is no access token; one begins with `probity_` and is shown when it is created");
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let rest = text.trim().strip_prefix(PREFIX).filter(|rest| rest.chars().all(is_word)).ok_or_else(none)?;
    // From the end, where lengths are fixed: the tenant and the secret may hold the separator.
    let (rest, secret) = rest.split_at_checked(rest.len().saturating_sub(SECRET_LETTERS)).ok_or_else(none)?;
    let rest = rest.strip_suffix('_').ok_or_else(none)?;
    let (tenant, id) = rest.split_at_checked(rest.len().saturating_sub(ID_LETTERS)).ok_or_else(none)?;
    // What is remembered of tokens that admit nobody hangs on the length of their names.
    let is_name = |tenant: &&str| (1..=TENANT_BYTES).contains(&tenant.len());
    let tenant = tenant.strip_suffix('_').filter(is_name).ok_or_else(none)?;
    if secret.len() != SECRET_LETTERS || !is_id(id) {
        return Err(none());
    }
    Ok(Presented { tenant: tenant.to_owned(), id: id.to_owned(), secret: secret.to_owned() })
}

/// Makes a token: its grant, and its text, which nobody can show again.
///
/// # Errors
/// Invalid for a name that is none, or an end that has passed; when the store fails: then there is no such token.
pub async fn create(store: &Store, order: &Order, by: &str) -> Result<(Grant, String)> {
    let clock = store.clock();
    let now = clock.now();
    check(order, now)?;
    let (id, secret) = (clock.id(), URL_SAFE_NO_PAD.encode(clock.random::<32>()));
    let grant = Grant {
        id: id.clone(),
        name: order.name.trim().to_owned(),
        role: order.role,
        sees_sealed: match order.role {
            Role::Ingest => false,
            Role::Auditor => order.sealed == Sealed::Shown,
            Role::Analyst | Role::Reviewer | Role::Responder | Role::Admin => true,
        },
        created_at: now,
        expires_at: order.expires_at,
        revoked_at: None,
        sha256: digest(&secret),
    };
    let path = store.paths().grant(&id);
    put(store.objects(), &path, &grant, PutMode::Create).await?;
    if let Err(e) = state(store, ("created", now), ("", &grant.told()), (&grant.id, by)).await {
        // Nobody was shown the secret; what stays of it admits nobody.
        let _ = store.objects().delete(&path).await;
        return Err(e);
    }
    let text = format!("{PREFIX}{}_{id}_{secret}", store.paths().tenant());
    Ok((grant, text))
}

/// All grants, the oldest first, those that ended included.
///
/// # Errors
/// When the store fails, or holds a grant that cannot be read.
pub async fn list(store: &Store) -> Result<Vec<Grant>> {
    use futures::TryStreamExt;
    let folder = store.paths().access();
    let listed: std::result::Result<Vec<_>, _> = store.objects().list(Some(&folder)).try_collect().await;
    let listed = match listed {
        Err(object_store::Error::NotFound { .. }) => Vec::new(),
        listed => listed.map_err(|e| object_error("list", &folder, e))?,
    };
    let mut grants = Vec::with_capacity(listed.len());
    for meta in listed.iter().filter(|meta| Paths::grant_id(&meta.location).is_some_and(is_id)) {
        grants.extend(read(store.objects(), &meta.location).await?);
    }
    grants.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(grants)
}

/// Revokes a token: it admits nobody from now on. One that is revoked already stays so, and the evidence tells of it.
///
/// # Errors
/// NotFound when there is none; when the store fails: then try again, also where it is revoked already.
pub async fn revoke(store: &Store, id: &str, by: &str) -> Result<Grant> {
    let missing = || Error::not_found("there is no token with this id; `probity token list` tells which there are");
    if !is_id(id) {
        return Err(missing());
    }
    let path = store.paths().grant(id);
    let mut grant = read(store.objects(), &path).await?.ok_or_else(missing)?;
    let before = grant.told();
    let at = grant.revoked_at.unwrap_or_else(|| store.clock().now());
    if grant.revoked_at.is_none() {
        grant.revoked_at = Some(at);
        put(store.objects(), &path, &grant, PutMode::Overwrite).await?;
    }
    state(store, ("revoked", at), (&before, ""), (&grant.id, by)).await?;
    Ok(grant)
}

/// The grant with this id, also one that has ended; none where there is none.
///
/// # Errors
/// When the store fails, or the grant cannot be read.
pub async fn find(location: &Location, tenant: &str, id: &str) -> Result<Option<Grant>> {
    let Ok(paths) = Paths::new(&location.base, tenant) else { return Ok(None) };
    match is_id(id) {
        true => read(&location.objects, &paths.grant(id)).await,
        false => Ok(None),
    }
}

/// Whether `tenant` has a token, be it one that has ended.
///
/// # Errors
/// When the store fails.
pub async fn exists(location: &Location, tenant: &str) -> Result<bool> {
    use futures::StreamExt;
    let folder = Paths::new(&location.base, tenant)?.access();
    match location.objects.list(Some(&folder)).next().await {
        None | Some(Err(object_store::Error::NotFound { .. })) => Ok(false),
        Some(Ok(_)) => Ok(true),
        Some(Err(e)) => Err(object_error("list", &folder, e)),
    }
}

fn check(order: &Order, now: Micros) -> Result<()> {
    let name = order.name.trim();
    if name.is_empty() || name.len() > GRANT_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "a token is held by somebody: give a name of 1 to {GRANT_NAME_BYTES} bytes without control characters"
        )));
    }
    if order.sealed == Sealed::Shown && order.role != Role::Auditor {
        let role = order.role.word();
        return Err(Error::invalid(format!(
            "sealed values are granted to auditors only; what `{role}` sees is fixed by its role"
        )));
    }
    if order.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::invalid("the token would have ended already; give an instant that is still to come"));
    }
    Ok(())
}

/// States what was done with a token, once however often it is tried.
async fn state(
    store: &Store,
    (what, at): (&str, Micros),
    (old, new): (&str, &str),
    (id, by): (&str, &str),
) -> Result<()> {
    let mut writer = Writer::new(store);
    let mut event = writer.statement("config.changed");
    event.set(Column::OccurredAt, Cell::Instant(at));
    event.set_text(Column::EventId, format!("access/{id}/{what}"));
    event.set_text(Column::Field, FIELD);
    event.set_text(Column::OldValue, old.to_owned());
    event.set_text(Column::NewValue, new.to_owned());
    event.set_text(Column::ActorKind, "human");
    event.set_text(Column::ActorId, by.to_owned());
    writer.state_once(&event).await.map(|_| ())
}

async fn put(objects: &Arc<dyn ObjectStore>, path: &Path, grant: &Grant, mode: PutMode) -> Result<()> {
    let bytes = serde_json::to_vec(&grant.to_kept()).map_err(|e| Error::internal("cannot write a grant").because(e))?;
    let options = PutOptions { mode, ..Default::default() };
    let put = objects.put_opts(path, bytes.into(), options).await;
    put.map(|_| ()).map_err(|e| object_error("write", path, e))
}

async fn read(objects: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<Grant>> {
    let failed = |e: object_store::Error| object_error("read", path, e);
    let result = match objects.get(path).await {
        Ok(result) => result,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let broken =
        || Error::damaged(format!("{path} is no grant of access; restore it, or delete it and make a new token"));
    if result.meta.size > GRANT_OBJECT_BYTES {
        return Err(broken());
    }
    let bytes = result.bytes().await.map_err(failed)?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|e| broken().because(e))?;
    let grant = Grant::from_kept(kept).map_err(|e| broken().because(e))?;
    match Paths::grant_id(path) == Some(grant.id.as_str()) {
        true => Ok(Some(grant)),
        false => Err(broken()),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LETTERS && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, DAY};
    use crate::error::ErrorKind;
    use crate::event::Rows;

    const NOW: Micros = 1_775_000_000_000_000;

    fn order(name: &str, role: Role) -> Order {
        Order { name: name.to_owned(), role, sealed: Sealed::ByRole, expires_at: None }
    }

    async fn store(tenant: &str) -> (Store, Clock) {
        let clock = Clock::simulated(NOW, 3);
        (Store::create(Location::memory(), tenant, clock.clone()).await.unwrap(), clock)
    }

    #[tokio::test]
    async fn a_token_is_recognised_by_its_whole_text_only_and_its_secret_is_not_kept() {
        let (store, _) = store("a_b-c").await;
        let (grant, text) = create(&store, &order("Ada", Role::Analyst), "op").await.unwrap();
        let presented = parse(&text).unwrap();
        assert_eq!((presented.tenant.as_str(), presented.id.as_str()), ("a_b-c", grant.id.as_str()));
        let location = Location { objects: store.objects().clone(), ..Location::memory() };
        let found = find(&location, "a_b-c", &grant.id).await.unwrap().unwrap();
        assert_eq!(found, grant);
        assert!(found.admits(&presented, NOW));
        let (_, other) = create(&store, &order("Bob", Role::Admin), "op").await.unwrap();
        let mixed = format!("{}{}", &text[..text.len() - SECRET_LETTERS], &other[other.len() - SECRET_LETTERS..]);
        assert!(!found.admits(&parse(&mixed).unwrap(), NOW));
        assert!(!found.admits(&parse(&other).unwrap(), NOW));
        let bytes = store.objects().get(&store.paths().grant(&grant.id)).await.unwrap().bytes().await.unwrap();
        let kept = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(!kept.contains(&presented.secret) && !format!("{presented:?}").contains(&presented.secret));
        assert_eq!(find(&location, "other", &grant.id).await.unwrap(), None);
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_repeated() {
        let (id, secret) = ("0".repeat(32), "A".repeat(43));
        assert!(parse(&format!("probity_default_{id}_{secret}")).is_ok());
        assert!(parse(&format!("probity_{}_{id}_{secret}", "t".repeat(TENANT_BYTES))).is_ok());
        for text in [
            format!("probity_{}_{id}_{secret}", "t".repeat(TENANT_BYTES + 1)),
            String::new(),
            "probity_".to_owned(),
            secret.clone(),
            format!("probity_{id}_{secret}"),
            format!("probity__{id}_{secret}"),
            format!("probity_default_{}_{secret}", "G".repeat(32)),
            format!("probity_default_{id}_{}", &secret[1..]),
            format!("probity_default_{id}-{secret}"),
            format!("probity_../x_{id}_{secret}"),
            format!("probity_default_{id}_{}ä", &secret[2..]),
        ] {
            let message = parse(&text).unwrap_err().to_string();
            assert!(!message.contains(&id) && !message.contains(&secret), "{text}");
        }
    }

    #[tokio::test]
    async fn a_grant_ends_when_it_expires_or_is_revoked_and_stays_in_the_list() {
        let (store, clock) = store("default").await;
        let ending = Order { expires_at: Some(NOW + DAY), ..order("Ada", Role::Auditor) };
        let (grant, text) = create(&store, &ending, "op").await.unwrap();
        let presented = parse(&text).unwrap();
        assert!(grant.admits(&presented, NOW + DAY - 1) && !grant.admits(&presented, NOW + DAY));
        clock.set(NOW + 5);
        let revoked = revoke(&store, &grant.id, "op").await.unwrap();
        assert!(!revoked.admits(&presented, NOW + 6));
        clock.set(NOW + 9);
        assert_eq!(revoke(&store, &grant.id, "op").await.unwrap().revoked_at, Some(NOW + 5));
        assert_eq!(list(&store).await.unwrap(), [revoked]);
        assert_eq!(revoke(&store, &"0".repeat(32), "op").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(revoke(&store, "../x", "op").await.unwrap_err().kind(), ErrorKind::NotFound);
        let rows = store.snapshot().await.unwrap().journal;
        let fields: Vec<_> = rows
            .iter()
            .map(|batch| Rows::new(batch).unwrap().text(Column::NewValue, 0).unwrap_or_default().to_owned())
            .collect();
        assert_eq!(fields.len(), 2, "one event for each thing that was done");
        assert!(fields[0].contains("\"role\":\"auditor\"") && fields[1].is_empty());
    }

    #[tokio::test]
    async fn sealed_values_are_seen_by_role_and_granted_to_auditors_only() {
        let (store, _) = store("default").await;
        for (role, expected) in Role::ALL.into_iter().zip([false, true, true, true, false, true]) {
            assert_eq!(create(&store, &order("x", role), "op").await.unwrap().0.sees_sealed, expected, "{role:?}");
        }
        let shown = |role| Order { sealed: Sealed::Shown, ..order("x", role) };
        assert!(create(&store, &shown(Role::Auditor), "op").await.unwrap().0.sees_sealed);
        assert!(create(&store, &shown(Role::Ingest), "op").await.is_err());
        for name in ["", " ", "a\nb", &"x".repeat(GRANT_NAME_BYTES + 1)] {
            assert!(create(&store, &order(name, Role::Analyst), "op").await.is_err());
        }
    }
}
