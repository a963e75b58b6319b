//! What all requests share: the tenants that are open, their sessions and writers.
//!
//! In: a store, and tenants by name. Out: sessions over everything that is acknowledged, one writer a tenant, kept pages.
//! Invariants: a session that is given out shows what was acknowledged when it was asked for; of those who ask at the
//! same time one does the work. A tenant reaches nothing but its own evidence.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::append::{Appender, Busy};
use super::background::Background;
use super::cache::Pages;
use super::grants::Grants;
use super::lock;
use super::metrics::{Figures, Metrics};
use super::session::{Logins, Sessions};
use super::upkeep::Upkeep;
use crate::clock::{Clock, SECOND};
use crate::error::{Error, Result};
use crate::ingest::mapping::Mapping;
use crate::limits::{SERVER_BODIES_BYTES, SERVER_PAST_SESSIONS, SERVER_SESSION_SECONDS};
use crate::query::asof::{AsOf, AsOfText};
use crate::query::catalogue::Catalogue;
use crate::query::engine::{Engine, resolve};
use crate::query::runtime::{ADHOC_QUERIES, QueryRuntime, RuntimeLimits};
use crate::query::views::Keeping;
use crate::store::content::Content;
use crate::store::object::Location;
use crate::store::{Snapshot, Store, keys};

/// What a server is started with.
#[derive(Debug)]
pub struct Setup {
    /// Where the evidence is.
    pub location: Location,
    /// The tenant whose pages need no token while it has none, on loopback.
    pub tenant: String,
    /// The file of that tenant's signing key, where it does not lie in the store.
    pub key: Option<PathBuf>,
    /// Time and randomness.
    pub clock: Clock,
    /// How OpenTelemetry spans become events.
    pub otlp: Mapping,
    /// Who the person at this machine is, in local mode.
    pub person: String,
    /// How the server is reached.
    pub reach: Reach,
    /// Whether every request is logged.
    pub log: Logging,
}

/// Who can reach the server, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This machine only, without TLS.
    Loopback,
    /// Whoever has a way to it, by TLS.
    Tls,
}

/// What is written on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logging {
    /// A line for every request.
    Requests,
    /// Failures only.
    Failures,
}

/// What every handler shares.
#[derive(Debug, Clone)]
pub struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    setup: Setup,
    runtime: Arc<QueryRuntime>,
    background: Background,
    tenants: Mutex<HashMap<String, Arc<OnceCell<Arc<Tenant>>>>>,
    metrics: Arc<Metrics>,
    adhoc: Semaphore,
    /// Room for bodies, KiB.
    bodies: Semaphore,
    grants: Grants,
    sessions: Sessions,
    logins: Logins,
    /// What forms carry in local mode.
    local_csrf: String,
}

impl App {
    /// A server over `setup.location`, with its tenant open.
    ///
    /// # Errors
    /// When there is no such evidence, or the threads for queries cannot be had.
    pub async fn open(setup: Setup) -> Result<Self> {
        // With less memory than the commands have, the review of a month of ten million events would end for lack of it.
        let limits = RuntimeLimits::default();
        let clock = setup.clock.clone();
        let shared = Shared {
            runtime: QueryRuntime::new(&limits)?,
            background: Background::start()?,
            tenants: Mutex::default(),
            metrics: Arc::default(),
            adhoc: Semaphore::new(ADHOC_QUERIES),
            bodies: Semaphore::new(SERVER_BODIES_BYTES / 1024),
            grants: Grants::new(setup.location.clone(), clock.clone()),
            sessions: Sessions::new(clock.clone()),
            logins: Logins::new(clock.clone()),
            local_csrf: clock.id(),
            setup,
        };
        let app = Self(Arc::new(shared));
        app.tenant(&app.0.setup.tenant).await?;
        Ok(app)
    }

    /// Time and randomness.
    pub fn clock(&self) -> &Clock {
        &self.0.setup.clock
    }

    /// The tenant of this name; opened when first asked for. Whoever asks must have been admitted to it.
    ///
    /// # Errors
    /// NotFound when there is no evidence of it; when its store cannot be read.
    pub async fn tenant(&self, name: &str) -> Result<Arc<Tenant>> {
        let cell = lock(&self.0.tenants).entry(name.to_owned()).or_default().clone();
        cell.get_or_try_init(|| self.open_tenant(name)).await.cloned()
    }

    async fn open_tenant(&self, name: &str) -> Result<Arc<Tenant>> {
        let setup = &self.0.setup;
        let key = setup.key.as_deref().filter(|_| name == setup.tenant);
        let store = keys::open_store(setup.location.clone(), name, key, setup.clock.clone()).await?;
        let (runtime, metrics) = (self.0.runtime.clone(), self.0.metrics.clone());
        Ok(Tenant::start(name, store, (runtime, metrics), &self.0.background.handle()))
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Places for strangers' SQL.
    pub fn adhoc(&self) -> &Semaphore {
        &self.0.adhoc
    }

    /// How OpenTelemetry spans become events.
    pub fn otlp_mapping(&self) -> &Mapping {
        &self.0.setup.otlp
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.0.setup
    }

    /// Room for a body of so many bytes, until what is given here is dropped.
    ///
    /// # Errors
    /// Limit when others take it up.
    pub(super) fn room(&self, bytes: usize) -> Result<SemaphorePermit<'_>> {
        let kib = bytes.min(SERVER_BODIES_BYTES).div_ceil(1024);
        let room = self.0.bodies.try_acquire_many(u32::try_from(kib).unwrap_or(u32::MAX));
        let busy = || Error::limit("too many bodies are being worked on; send this one again in a second");
        room.map_err(|_| busy().because(Busy))
    }

    pub(super) fn grants(&self) -> &Grants {
        &self.0.grants
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(super) fn logins(&self) -> &Logins {
        &self.0.logins
    }

    pub(super) fn local_csrf(&self) -> &str {
        &self.0.local_csrf
    }

    /// Takes nothing in any more, makes everything durable that waits, states the counts and folds.
    ///
    /// # Errors
    /// What the last fold failed with: the events are durable in the journal then.
    pub async fn close(&self) -> Result<()> {
        let cells: Vec<_> = lock(&self.0.tenants).values().cloned().collect();
        let mut outcome = Ok(());
        for tenant in cells.iter().filter_map(|cell| cell.get()) {
            outcome = outcome.and(tenant.close().await);
        }
        outcome
    }
}

/// One tenant at work.
#[derive(Debug)]
pub struct Tenant {
    name: String,
    store: Store,
    appender: Appender,
    upkeep: Upkeep,
    pages: Pages,
    runtime: Arc<QueryRuntime>,
    metrics: Arc<Metrics>,
    /// Looks at the store that were asked for.
    asked: AtomicU64,
    newest: tokio::sync::Mutex<Option<Newest>>,
    /// The session of single questions, and the one of reports.
    session: tokio::sync::Mutex<Option<Arc<Engine>>>,
    reporting: tokio::sync::Mutex<Option<Arc<Engine>>>,
    past: Mutex<VecDeque<Arc<Engine>>>,
    content: tokio::sync::Mutex<Content>,
}

/// The newest look at the store, and how many had been asked for when it began.
#[derive(Debug)]
struct Newest {
    begun: u64,
    snapshot: Arc<Snapshot>,
}

impl Tenant {
    /// A tenant whose upkeep runs on the threads of `place`.
    pub(super) fn start(
        name: &str,
        store: Store,
        (runtime, metrics): (Arc<QueryRuntime>, Arc<Metrics>),
        place: &Handle,
    ) -> Arc<Self> {
        let appender = Appender::start(&store, metrics.clone());
        let upkeep = Upkeep::start(&store, appender.shared().clone(), metrics.clone(), place);
        let pages = Pages::new(store.clock().clone(), metrics.clone());
        Arc::new(Self {
            name: name.to_owned(),
            store,
            appender,
            upkeep,
            pages,
            runtime,
            metrics,
            asked: AtomicU64::new(0),
            newest: tokio::sync::Mutex::default(),
            session: tokio::sync::Mutex::default(),
            reporting: tokio::sync::Mutex::default(),
            past: Mutex::default(),
            content: tokio::sync::Mutex::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its evidence.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its writer.
    pub fn appender(&self) -> &Appender {
        &self.appender
    }

    /// Its finished pages and long work.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Everything that is acknowledged by now. Who asks while another looks shares a look that began afterwards.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut newest = self.newest.lock().await;
        if let Some(found) = newest.as_ref().filter(|found| found.begun > ticket) {
            return Ok(found.snapshot.clone());
        }
        let begun = self.asked.load(Ordering::SeqCst);
        let snapshot = Arc::new(self.store.snapshot().await?);
        *newest = Some(Newest { begun, snapshot: snapshot.clone() });
        Ok(snapshot)
    }

    /// A session over everything that is acknowledged by now, for single questions; shared by who asks at the same time,
    /// kept while the ledger stays as it is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn engine(&self) -> Result<Arc<Engine>> {
        self.newest_session(&self.session, Keeping::Deep).await
    }

    /// As [`engine`](Self::engine), for who asks many questions about a period, as reports do: what they share is
    /// computed once.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn reporting(&self) -> Result<Arc<Engine>> {
        self.newest_session(&self.reporting, Keeping::Costly).await
    }

    async fn newest_session(
        &self,
        slot: &tokio::sync::Mutex<Option<Arc<Engine>>>,
        keeping: Keeping,
    ) -> Result<Arc<Engine>> {
        let snapshot = self.snapshot().await?;
        let now = self.store.clock().now();
        let mut kept = slot.lock().await;
        // Its `now()` must not stand still on a quiet ledger: deadlines and ages hang on it.
        let is_good = |engine: &&Arc<Engine>| {
            let as_of = engine.as_of();
            let is_young = now - as_of.at < SERVER_SESSION_SECONDS * SECOND;
            is_young && as_of.size >= snapshot.size && engine.version() >= snapshot.version
        };
        if let Some(engine) = kept.as_ref().filter(is_good) {
            self.metrics.session_hit();
            return Ok(engine.clone());
        }
        self.metrics.session_miss();
        let as_of = AsOf { size: snapshot.size, at: now };
        let engine = Engine::open(&self.runtime, &snapshot, as_of, (Catalogue::shipped()?, keeping)).await?;
        let engine = Arc::new(engine);
        *kept = Some(engine.clone());
        Ok(engine)
    }

    /// A session as of an instant, a ledger size or a table version, as `--as-of` reads it.
    ///
    /// # Errors
    /// Invalid or NotFound for a point that the ledger does not have; when the store cannot be read.
    pub async fn engine_at(&self, as_of: &str) -> Result<Arc<Engine>> {
        let (snapshot, point) = self.point(as_of.parse()?).await?;
        let is_it = |engine: &&Arc<Engine>| engine.as_of() == point && engine.version() == snapshot.version;
        if let Some(engine) = lock(&self.past).iter().find(is_it) {
            self.metrics.session_hit();
            return Ok(engine.clone());
        }
        self.metrics.session_miss();
        let engine = Arc::new(Engine::new(&self.runtime, &snapshot, point).await?);
        let mut past = lock(&self.past);
        past.push_front(engine.clone());
        past.truncate(SERVER_PAST_SESSIONS);
        Ok(engine)
    }

    /// A session with the views of `catalogue`, for many questions and nobody else: as of `as_of`, or of all that is
    /// acknowledged by now.
    ///
    /// # Errors
    /// As [`engine_at`](Self::engine_at).
    pub async fn judging(&self, catalogue: &Catalogue, as_of: Option<&str>) -> Result<Engine> {
        let asked: AsOfText = as_of.map_or(Ok(AsOfText::Head), str::parse)?;
        let (snapshot, point) = self.point(asked).await?;
        Engine::open(&self.runtime, &snapshot, point, (catalogue, Keeping::Costly)).await
    }

    /// The point that `asked` means, and a look at the store that has it.
    async fn point(&self, asked: AsOfText) -> Result<(Arc<Snapshot>, AsOf)> {
        let size = match asked {
            AsOfText::At(at) if at > self.store.clock().now() => {
                return Err(Error::invalid(
                    "`as_of` lies in the future: what will be known then cannot be told now; give an earlier instant",
                ));
            }
            AsOfText::Version(version) => Some(self.store.size_at_version(version).await?),
            AsOfText::Head | AsOfText::At(_) | AsOfText::Size(_) => None,
        };
        let snapshot = self.snapshot().await?;
        // Later than what the look has, or its newest events would lie in the future.
        let now = self.store.clock().now();
        let point = resolve(&self.runtime, &snapshot, asked, now, size).await?;
        Ok((snapshot, point))
    }

    /// Size of the ledger without trailing `evidence.queried` events: what kept pages are about.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn content_size(&self) -> Result<i64> {
        let snapshot = self.snapshot().await?;
        let mut content = self.content.lock().await;
        *content = snapshot.content(*content).await?;
        Ok(content.size)
    }

    /// What is measured of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn figures(&self) -> Result<Figures> {
        let snapshot = self.snapshot().await?;
        Ok(Figures { size: snapshot.size, folded: snapshot.folded, waiting: self.appender.waiting() })
    }

    /// Takes nothing in any more; everything that waits is durable and folded when this returns.
    async fn close(&self) -> Result<()> {
        self.upkeep.stop().await;
        self.appender.close().await;
        self.store.fold().await.map(|_| ())
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::access::role::Role;
    use crate::server::caller::{Caller, Via};

    /// When the tests happen.
    pub(in crate::server) const NOW: i64 = 1_775_000_000_000_000;

    /// A tenant over a store in memory.
    pub(in crate::server) async fn tenant() -> Arc<Tenant> {
        let store = Store::create(Location::memory(), "default", Clock::simulated(NOW, 5)).await.unwrap();
        let runtime = QueryRuntime::new(&RuntimeLimits { threads: 2, ..RuntimeLimits::default() }).unwrap();
        Tenant::start("default", store, (runtime, Arc::default()), &Handle::current())
    }

    /// Somebody of that tenant.
    pub(in crate::server) fn caller(tenant: &Arc<Tenant>, role: Role, sees_sealed: bool) -> Caller {
        Caller {
            tenant: tenant.clone(),
            name: "Ada".to_owned(),
            role,
            sees_sealed,
            csrf: "mark".to_owned(),
            via: Via::Session,
            token_id: Some("7".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{NOW, caller, tenant};
    use super::*;
    use crate::access::role::Role;
    use crate::query::answer::Limits;
    use crate::query::objects::{count, rows, text};
    use crate::server::caller::Read;

    async fn ask(engine: &Engine, sql: &str) -> Result<Vec<serde_json::Map<String, serde_json::Value>>> {
        rows(&engine.sql(sql, Limits::default()).await?)
    }

    fn read(what: &str) -> Read<'_> {
        Read { what, subject: Some(("crm", "case", "1")), extra: serde_json::json!({"params": {"a": "b"}}) }
    }

    #[tokio::test]
    async fn a_read_is_evidence_moves_the_session_and_not_the_content() {
        let tenant = tenant().await;
        let ada = caller(&tenant, Role::Analyst, true);
        let before = tenant.engine().await.unwrap();
        assert!(Arc::ptr_eq(&before, &tenant.engine().await.unwrap()), "nothing has changed");
        ada.reads(read("records")).await.unwrap();
        let after = ada.engine(None).await.unwrap();
        assert_eq!((before.as_of().size, after.as_of().size), (0, 1));
        assert_eq!(tenant.content_size().await.unwrap(), 0);
        let told = ask(&after, "select event_type, actor_id, record_id, extra from evidence").await.unwrap();
        assert_eq!((text(&told[0], "event_type"), text(&told[0], "actor_id")), ("evidence.queried", "Ada"));
        assert_eq!(text(&told[0], "record_id"), "1");
        let expected = "{\"params\":{\"a\":\"b\"},\"role\":\"analyst\",\"token\":\"7\",\"what\":\"records\"}";
        assert_eq!(text(&told[0], "extra"), expected);
        let statement = tenant.appender().statement("report.issued");
        tenant.appender().state(vec![statement]).await.unwrap();
        ada.reads(read("records")).await.unwrap();
        assert_eq!(tenant.content_size().await.unwrap(), 2);
        tenant.close().await.unwrap();
        assert_eq!(tenant.content_size().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_session_shows_what_was_acknowledged_before_it_was_asked_for_whoever_asks_beside() {
        let tenant = tenant().await;
        let ask_after_write = |_| async {
            let statement = tenant.appender().statement("evidence.queried");
            let seq = tenant.appender().state(vec![statement]).await.unwrap();
            let engine = tenant.engine().await.unwrap();
            assert!(engine.as_of().size > seq, "{} {seq}", engine.as_of().size);
        };
        futures::future::join_all((0..40).map(ask_after_write)).await;
    }

    #[tokio::test]
    async fn an_earlier_point_gives_the_same_session_again_and_the_future_none() {
        let tenant = tenant().await;
        for _ in 0..3 {
            let statement = tenant.appender().statement("evidence.queried");
            tenant.appender().state(vec![statement]).await.unwrap();
        }
        let engine = tenant.engine_at("2").await.unwrap();
        assert_eq!(count(&ask(&engine, "select count(*) as n from evidence").await.unwrap()[0], "n"), Some(2));
        assert!(Arc::ptr_eq(&engine, &tenant.engine_at("2").await.unwrap()));
        assert!(tenant.engine_at("4").await.is_err());
        let judging = tenant.judging(Catalogue::shipped().unwrap(), Some("2")).await.unwrap();
        assert_eq!(judging.as_of(), engine.as_of());
        let judging = tenant.judging(Catalogue::shipped().unwrap(), None).await.unwrap();
        assert_eq!(judging.as_of().size, 3);
        let future = crate::clock::rfc3339(NOW + 1);
        assert!(tenant.engine_at(&future).await.is_err());
        assert!(tenant.judging(Catalogue::shipped().unwrap(), Some(&future)).await.is_err());
    }

    #[tokio::test]
    async fn who_may_not_see_sealed_values_has_no_such_columns() {
        let tenant = tenant().await;
        let auditor = caller(&tenant, Role::Auditor, false);
        auditor.reads(read("records")).await.unwrap();
        let sql = "select extra from evidence";
        assert!(ask(&caller(&tenant, Role::Analyst, true).engine(None).await.unwrap(), sql).await.is_ok());
        assert!(ask(&auditor.engine(None).await.unwrap(), sql).await.is_err());
        assert!(ask(&auditor.engine(Some("1")).await.unwrap(), sql).await.is_err());
    }

    #[tokio::test]
    async fn a_form_of_another_session_is_refused() {
        let tenant = tenant().await;
        let ada = caller(&tenant, Role::Admin, true);
        assert!(ada.check_csrf("mark").is_ok());
        for given in ["", "mar", "mark ", "other"] {
            assert!(ada.check_csrf(given).is_err(), "{given}");
        }
    }
}
