//! The views of a session, made when a question first needs them.
//!
//! In: the catalogue, the names that a question reads. Out: registered tables. Invariant: a view is planned once
//! a session, behind those that it needs; one that is kept is computed once as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use tokio::sync::{Mutex, OnceCell};

use super::actions::{ACTIONS, ActionsTable};
use super::catalogue::Catalogue;
use super::engine::{EVIDENCE, check_returns, plan_named};
use super::failure;
use super::guard::Tables;
use super::header::NamedQuery;
use super::kept::Kept;
use super::params::Bound;
use super::window::{Restriction, Window};
use crate::error::Result;
use crate::store::snapshot::Snapshot;

/// The events that the actions are folded from.
const ACTION_EVENTS: &str = "action_events";
const REVIEWED: &str = "reviewed";
const REPAIRS: &str = "repairs";
/// Views that a window restricts. A session of many questions computes each once for a window: all others read them.
const WINDOWED: [&str; 4] = [ACTIONS, ACTION_EVENTS, REPAIRS, REVIEWED];
/// Views that read each other many times over: written out they are too long to plan, and quick to compute.
const DEEP: [&str; 6] = ["policies", "policy_rules", "judged_actions", "decisions", "approvals", "action_evidence"];
/// Views that many questions of a report read, and that cost more to compute than to read back.
const COSTLY: [&str; 7] =
    ["approved_executions", "corrections", "exceptions", "reviewed", "sample_reviews", "verdict_scopes", "verdicts"];

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
    /// The period that these views are restricted to.
    window: Option<Window>,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    weights: Weights,
    kept: Option<Kept>,
    restriction: Option<Restriction>,
}

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
            window: None,
            made: Mutex::new(Made { weights, kept: None, restriction: None }),
        }
    }

    /// The same views restricted to `window`; none is made yet.
    pub(super) fn within(&self, window: Window) -> Self {
        let fresh = Self::new(&self.catalogue, self.keeping, self.folder.clone(), self.evidence.clone());
        Self { actions: self.actions.clone(), window: Some(window), ..fresh }
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
            let is_restricted =
                self.window.is_some() && self.keeping == Keeping::Costly && WINDOWED.contains(&view.name.as_str());
            let table: Arc<dyn TableProvider> = if is_restricted || self.keeping.keeps(&view.name) {
                let kept = match &mut made.kept {
                    Some(kept) => kept,
                    none => none.insert(Kept::new(self.folder.as_deref())?),
                };
                kept.keep(state, &view.name, &plan).await?
            } else {
                Arc::new(ViewTable::new(plan, Some(view.text.clone())))
            };
            register(schema.as_ref(), &view.name, table)?;
            made.weights.made.insert(view.name.clone(), behind);
        }
        Ok(made.weights.clone())
    }
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
        let is_restricted = WINDOWED.contains(&name) && Catalogue::shipped()?.get(name)?.text == view.text;
        if !is_restricted {
            return plan_named(state, view, &Bound::default()).await;
        }
        let (snapshot, size) = &self.evidence;
        let open = async || ActionsTable::open(snapshot, *size, self.folder.as_deref()).await.map(Arc::new);
        if let (None, Some(window)) = (&known, self.window) {
            let actions = self.actions.get_or_try_init(open).await?.reading()?;
            let reviews = plan_named(state, self.catalogue.get(REVIEWED)?, &Bound::default()).await?;
            let reviews = LogicalPlanBuilder::from(reviews);
            *known = Some(Restriction::find(state, &actions, &reviews, window).await?);
        }
        if name == ACTIONS {
            let actions = self.actions.get_or_try_init(open).await?;
            return actions.plan(state, view, known.as_ref());
        }
        let plan = plan_named(state, view, &Bound::default()).await?;
        let Some(restriction) = known else { return Ok(plan) };
        let plan = LogicalPlanBuilder::from(plan);
        let restricted = match name {
            REVIEWED => {
                restriction.of_reviews().map_or_else(|| Ok(plan.clone()), |reviews| plan.clone().filter(reviews))
            }
            REPAIRS => plan.filter(restriction.of_repairs()),
            _ => plan.filter(restriction.of_events()),
        };
        restricted.and_then(LogicalPlanBuilder::build).map_err(failure::error)
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
