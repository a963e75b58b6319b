//! The views of a session, made when a question first needs them.
//!
//! In: the catalogue, the names that a question reads. Out: registered tables. Invariant: a view is planned once
//! a session, behind those that it needs; one that is kept is computed once as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::JoinType;
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use tokio::sync::{Mutex, OnceCell};

use super::actions::{ACTIONS, ActionsTable};
use super::catalogue::Catalogue;
use super::engine::{EVIDENCE, check_returns, plan_named};
use super::failure;
use super::guard::Tables;
use super::header::NamedQuery;
use super::kept::{Kept, KeptTable};
use super::params::Bound;
use super::pieces::{self, Span};
use super::window::{Restriction, Window};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::store::snapshot::Snapshot;

/// The events that the actions are folded from.
const ACTION_EVENTS: &str = "action_events";
const ACTION_ID: &str = "action_id";
/// About how many events tell of one action.
const EVENTS_PER_ACTION: u64 = 4;
const REVIEWED: &str = "reviewed";
const REPAIRS: &str = "repairs";
/// Actions that no window restricts.
const ALL_ACTIONS: &str = "all_actions";
/// Views that a window restricts. A session of many questions computes each once for a window: all others read them.
const WINDOWED: [&str; 4] = [ACTIONS, ACTION_EVENTS, REPAIRS, REVIEWED];
/// Views that many questions about a period read; of all time they are read for a few records only.
const OF_A_PERIOD: [&str; 1] = ["reviewed_actions"];
/// Views that read each other many times over: written out they are too long to plan, and quick to compute.
const DEEP: [&str; 7] =
    ["policies", "policy_rules", "judged_actions", "decisions", "approvals", "action_evidence", "action_writes"];
/// Views of which each row tells of one action and depends on nothing but it, its events and the policies.
const OF_ONE_ACTION: [&str; 5] = ["judged_actions", "decisions", "approvals", "action_evidence", "action_writes"];
/// Views that those need besides and that are the same for all actions.
const OF_ALL_ACTIONS: [&str; 2] = ["policies", "policy_rules"];
/// Views that many questions of a report read, and that cost more to compute than to read back.
const COSTLY: [&str; 6] =
    ["approved_executions", "corrections", "exceptions", "reviewed", "sample_reviews", "verdicts"];

/// Which views are computed once and read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Those without which a single question cannot be planned.
    Deep,
    /// Those that several questions share, too.
    Costly,
}

impl Keeping {
    fn keeps(self, view: &str) -> bool {
        DEEP.contains(&view) || self == Self::Costly && COSTLY.contains(&view)
    }
}

/// The views of one session.
#[derive(Debug)]
pub(super) struct Views {
    catalogue: Catalogue,
    keeping: Keeping,
    /// Where kept views lie; the system's folder when `None`.
    folder: Option<PathBuf>,
    /// The evidence, and how many of its events count.
    evidence: (Arc<Snapshot>, i64),
    /// The folded actions, shared by all windows of a session.
    actions: Arc<OnceCell<Arc<ActionsTable>>>,
    scope: Scope,
    /// For a piece of a window: what belongs to the window.
    around: Option<Restriction>,
    /// Events whose actions are judged at a time.
    piece_events: u64,
    made: Mutex<Made>,
}

/// What of the evidence these views tell of.
#[derive(Debug, Clone, Copy)]
enum Scope {
    /// All of it.
    Everything,
    /// What belongs to a period.
    Window(Window),
    /// The actions of the scope around it that begin in a span, the so manieth of its kind.
    Piece { span: Span, number: usize },
}

#[derive(Debug, Default)]
struct Made {
    weights: Weights,
    kept: Option<Arc<Kept>>,
    tables: BTreeMap<String, Arc<KeptTable>>,
    restriction: Option<Restriction>,
    pieces: Vec<Piece>,
}

/// A planner and the views of one piece.
type Piece = (Arc<SessionState>, Arc<Views>);

/// How many tables stand behind each name.
#[derive(Debug, Default, Clone)]
pub(super) struct Weights {
    made: BTreeMap<String, u64>,
    all: Vec<String>,
}

impl Tables for Weights {
    fn weight(&self, name: &str) -> Option<u64> {
        self.made.get(name).copied()
    }

    fn names(&self) -> Vec<String> {
        self.all.clone()
    }
}

impl Views {
    /// None is made yet.
    pub(super) fn new(
        catalogue: &Catalogue,
        keeping: Keeping,
        folder: Option<PathBuf>,
        evidence: (Arc<Snapshot>, i64),
        piece_events: u64,
    ) -> Self {
        let actions = Arc::default();
        let views = catalogue.views().map(|view| view.name.clone());
        let mut all: Vec<String> = std::iter::once(EVIDENCE.to_owned()).chain(views).collect();
        all.sort_unstable();
        let weights = Weights { made: BTreeMap::from([(EVIDENCE.to_owned(), 1)]), all };
        Self {
            catalogue: catalogue.clone(),
            keeping,
            folder,
            evidence,
            actions,
            scope: Scope::Everything,
            around: None,
            piece_events,
            made: Mutex::new(Made { weights, ..Made::default() }),
        }
    }

    /// The queries that these views are of.
    pub(super) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The window to answer a question about `window` in: the questions of one report share what is kept for its
    /// period, more than each of them needs.
    pub(super) fn window_for(&self, window: Window) -> Window {
        if self.is_shared() { window.shared() } else { window }
    }

    /// Whether questions share what is kept for a period.
    pub(super) fn is_shared(&self) -> bool {
        self.keeping == Keeping::Costly
    }

    /// The same views restricted to `window`; none is made yet.
    pub(super) fn within(&self, window: Window) -> Self {
        let keeping = if window.looks_back() { Keeping::Costly } else { self.keeping };
        Self { keeping, ..self.restricted(Scope::Window(window)) }
    }

    fn restricted(&self, scope: Scope) -> Self {
        let evidence = self.evidence.clone();
        let fresh = Self::new(&self.catalogue, self.keeping, self.folder.clone(), evidence, self.piece_events);
        Self { actions: self.actions.clone(), scope, ..fresh }
    }

    /// Makes the views among `words` and those that they need; gives what stands behind each name so far.
    ///
    /// # Errors
    /// When a view does not fit, fails, or cannot be kept.
    pub(super) async fn make(&self, state: &SessionState, words: &BTreeSet<String>) -> Result<Weights> {
        let mut made = self.made.lock().await;
        let schema = state.schema_for_ref(EVIDENCE).map_err(failure::error)?;
        for view in self.catalogue.needed(words) {
            if made.weights.made.contains_key(&view.name) {
                continue;
            }
            let plan = self.plan(state, view, &mut made.restriction).await?;
            check_returns(view, &plan)?;
            let behind = tables_behind(&plan, &made.weights)?;
            let table: Arc<dyn TableProvider> = if self.keeps(&view.name) {
                let table = self.keep(state, view, &plan, &mut made).await?;
                made.tables.insert(view.name.clone(), table.clone());
                table
            } else {
                Arc::new(ViewTable::new(plan, Some(view.text.clone())))
            };
            register(schema.as_ref(), &view.name, table)?;
            made.weights.made.insert(view.name.clone(), behind);
        }
        Ok(made.weights.clone())
    }

    fn keeps(&self, view: &str) -> bool {
        let is_shared = matches!(self.scope, Scope::Window(_)) && self.keeping == Keeping::Costly;
        is_shared && (WINDOWED.contains(&view) || OF_A_PERIOD.contains(&view)) || self.keeping.keeps(view)
    }

    /// The rows of `view`, computed at once or, where they tell of one action each, in pieces.
    async fn keep(
        &self,
        state: &SessionState,
        view: &NamedQuery,
        plan: &LogicalPlan,
        made: &mut Made,
    ) -> Result<Arc<KeptTable>> {
        let kept = match &made.kept {
            Some(kept) => kept.clone(),
            None => made.kept.insert(Arc::new(Kept::new(self.folder.as_deref())?)).clone(),
        };
        let name = view.name.as_str();
        match self.scope {
            Scope::Everything | Scope::Window(_) if OF_ONE_ACTION.contains(&name) && is_shipped(view)? => {
                if made.pieces.is_empty() {
                    made.pieces = self.pieces(state, &kept, made.restriction.as_ref()).await?;
                }
                if made.pieces.len() == 1 {
                    return kept.keep(state, name, plan).await;
                }
                let mut parts = Vec::with_capacity(made.pieces.len());
                for (state, views) in &made.pieces {
                    views.take(state, &made.tables).await?;
                    parts.push(Box::pin(views.table(state, name)).await?);
                }
                KeptTable::joined(&parts).ok_or_else(|| Error::internal("a view in pieces has none"))
            }
            Scope::Piece { number, .. } => kept.keep(state, &format!("{name}-{number}"), plan).await,
            _ => kept.keep(state, name, plan).await,
        }
    }

    /// Sessions for the spans that actions begin in.
    async fn pieces(
        &self,
        state: &SessionState,
        kept: &Arc<Kept>,
        restriction: Option<&Restriction>,
    ) -> Result<Vec<Piece>> {
        let reach = match restriction {
            Some(some) if some.actions() as u64 * EVENTS_PER_ACTION <= self.piece_events => None,
            Some(some) => some.reach(),
            None => Some((Micros::MIN, Micros::MAX)),
        };
        let tables = state.schema_for_ref(EVIDENCE).map_err(failure::error)?;
        let evidence = tables.table(EVIDENCE).await.map_err(failure::error)?;
        let evidence = evidence.ok_or_else(|| Error::internal("a session without evidence"))?;
        let mut pieces = Vec::new();
        let spans = pieces::spans(&self.evidence.0.files, reach, self.piece_events);
        for (number, span) in spans.into_iter().enumerate() {
            let state = pieces::empty_like(state)?;
            let schema = state.schema_for_ref(EVIDENCE).map_err(failure::error)?;
            register(schema.as_ref(), EVIDENCE, evidence.clone())?;
            let views = Self { around: restriction.cloned(), ..self.restricted(Scope::Piece { span, number }) };
            views.made.lock().await.kept = Some(kept.clone());
            pieces.push((Arc::new(state), Arc::new(views)));
        }
        Ok(pieces)
    }

    /// Takes over those of `tables` that are the same for all pieces.
    async fn take(&self, state: &SessionState, tables: &BTreeMap<String, Arc<KeptTable>>) -> Result<()> {
        let schema = state.schema_for_ref(EVIDENCE).map_err(failure::error)?;
        let mut made = self.made.lock().await;
        for (name, table) in tables.iter().filter(|(name, _)| OF_ALL_ACTIONS.contains(&name.as_str())) {
            if made.weights.made.insert(name.clone(), 1).is_none() {
                register(schema.as_ref(), name, table.clone())?;
            }
        }
        Ok(())
    }

    /// The kept rows of the view `name`, made if need be.
    async fn table(&self, state: &SessionState, name: &str) -> Result<Arc<KeptTable>> {
        self.make(state, &BTreeSet::from([name.to_owned()])).await?;
        let table = self.made.lock().await.tables.get(name).cloned();
        table.ok_or_else(|| Error::internal(format!("the view `{name}` is not kept")))
    }
}

fn is_shipped(view: &NamedQuery) -> Result<bool> {
    Ok(Catalogue::shipped()?.get(&view.name)?.text == view.text)
}

impl Views {
    /// The plan of a view: its SQL, or what gives the same rows from a projection.
    async fn plan(
        &self,
        state: &SessionState,
        view: &NamedQuery,
        known: &mut Option<Restriction>,
    ) -> Result<LogicalPlan> {
        let name = view.name.as_str();
        if !(WINDOWED.contains(&name) || name == ALL_ACTIONS) || !is_shipped(view)? {
            return plan_named(state, view, &Bound::default()).await;
        }
        if name == ALL_ACTIONS {
            return self.folded().await?.plan(state, view, None);
        }
        if known.is_none() && !matches!(self.scope, Scope::Everything) {
            let actions = self.folded().await?.reading()?;
            *known = self.restriction(state, &actions).await?;
        }
        if name == ACTIONS {
            let actions = self.folded().await?;
            return actions.plan(state, view, known.as_ref());
        }
        let plan = plan_named(state, view, &Bound::default()).await?;
        let Some(restriction) = known else { return Ok(plan) };
        let plan = LogicalPlanBuilder::from(plan);
        let restricted = match name {
            ACTION_EVENTS => {
                // Some action may have lasted long: of that time, the others' events are not asked for.
                let table = self.folded().await?.reading()?;
                let actions = table
                    .filter(restriction.of_actions())
                    .and_then(|actions| actions.project([ident(ACTION_ID)])?.alias("asked_for")?.build());
                let keys = (vec![ACTION_ID], vec![ACTION_ID]);
                let actions = actions.map_err(failure::error)?;
                plan.filter(restriction.of_events()).and_then(|plan| plan.join(actions, JoinType::LeftSemi, keys, None))
            }
            REVIEWED => {
                restriction.of_reviews().map_or_else(|| Ok(plan.clone()), |reviews| plan.clone().filter(reviews))
            }
            _ => plan.filter(restriction.of_repairs()),
        };
        restricted.and_then(LogicalPlanBuilder::build).map_err(failure::error)
    }
}

impl Views {
    /// The folded actions of the first so many events, read or made when first asked for.
    ///
    /// # Errors
    /// When evidence or projection cannot be read.
    pub(super) async fn folded(&self) -> Result<Arc<ActionsTable>> {
        let (snapshot, size) = &self.evidence;
        let open = async || ActionsTable::open(snapshot, *size, self.folder.as_deref()).await.map(Arc::new);
        self.actions.get_or_try_init(open).await.cloned()
    }

    /// What of the evidence belongs to the scope, given a scan of folded actions; `None` where all does.
    async fn restriction(&self, state: &SessionState, actions: &LogicalPlanBuilder) -> Result<Option<Restriction>> {
        match self.scope {
            Scope::Everything => Ok(None),
            Scope::Window(window) => {
                let reviews = plan_named(state, self.catalogue.get(REVIEWED)?, &Bound::default()).await?;
                let reviews = LogicalPlanBuilder::from(reviews);
                Restriction::find(state, actions, &reviews, window).await.map(Some)
            }
            Scope::Piece { span, .. } => {
                let Some(around) = self.around.clone() else {
                    return Restriction::piece(state, actions, span).await.map(Some);
                };
                let within = actions.clone().filter(around.of_actions()).map_err(failure::error)?;
                Ok(Some(Restriction::piece(state, &within, span).await?.within(around)))
            }
        }
    }
}

fn register(schema: &dyn SchemaProvider, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
    schema.register_table(name.to_owned(), table).map(drop).map_err(failure::error)
}

fn tables_behind(plan: &LogicalPlan, weights: &Weights) -> Result<u64> {
    use datafusion::common::tree_node::TreeNodeRecursion;
    let mut behind = 0;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            behind += weights.weight(scan.table_name.table()).unwrap_or(1);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map(|_| behind).map_err(failure::error)
}
