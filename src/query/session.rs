//! The planners of a session: what they know besides tables.
//!
//! In: a runtime, the instant of the as-of point, table functions. Out: planners for shipped queries and for strangers'
//! SQL. Invariant: no planner knows a table factory, a file format or a table function but our own, so that nothing in
//! SQL leads to a file; `now()` is the as-of instant.

use std::sync::Arc;

use chrono::DateTime;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider,
    TableFunction,
};
use datafusion::common::config::CatalogOptions;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder, SessionStateDefaults};
use datafusion::logical_expr::ScalarUDF;

use super::checked::CheckedArithmetic;
use super::engine::EVIDENCE;
use super::keep_order::KeepOrder;
use super::runtime::QueryRuntime;
use super::yielding::Yielding;
use super::{capped, failure, functions, sums};
use crate::clock::Micros;
use crate::error::Result;

fn builder(runtime: &QueryRuntime, env: Arc<RuntimeEnv>) -> SessionStateBuilder {
    SessionStateBuilder::new()
        .with_config(runtime.config())
        .with_runtime_env(env)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_aggregate_functions(sums::checked(SessionStateDefaults::default_aggregate_functions()))
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_analyzer_rule(Arc::new(CheckedArithmetic))
        .with_physical_optimizer_rule(Arc::new(KeepOrder))
        .with_physical_optimizer_rule(Arc::new(Yielding))
}

fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut all: Vec<_> =
        SessionStateDefaults::default_scalar_functions().into_iter().map(functions::by_runs).collect();
    all.extend(functions::scalar_functions().into_iter().map(Arc::new));
    all
}

/// A planner for queries that ship with the program; it knows no table yet.
pub(super) fn shipped_state(
    runtime: &QueryRuntime,
    env: Arc<RuntimeEnv>,
    now: Micros,
    functions: Vec<Arc<TableFunction>>,
) -> SessionState {
    let builder = builder(runtime, env).with_scalar_functions(scalar_functions());
    at_instant(builder.with_table_function_list(functions).build(), now)
}

/// A planner for strangers' SQL over the tables of `catalogs`.
pub(super) fn strangers_state(
    runtime: &QueryRuntime,
    env: Arc<RuntimeEnv>,
    now: Micros,
    (catalogs, functions): (Arc<dyn CatalogProviderList>, Vec<Arc<TableFunction>>),
) -> SessionState {
    let mut allowed = scalar_functions();
    allowed.retain(|function| !capped::WITHHELD.contains(&function.name()));
    // The catalogue is the one given; a fresh one would take its place.
    let config = runtime.config().with_create_default_catalog_and_schema(false);
    let builder = builder(runtime, env).with_config(config).with_scalar_functions(allowed);
    let mut state = builder.with_catalog_list(catalogs).with_table_function_list(functions).build();
    state.config_mut().options_mut().execution.enable_recursive_ctes = false;
    at_instant(state, now)
}

fn at_instant(mut state: SessionState, now: Micros) -> SessionState {
    state.mark_start_execution();
    state.execution_props_mut().query_execution_start_time = DateTime::from_timestamp_micros(now);
    state
}

/// The tables that `state` knows.
///
/// # Errors
/// Never for a state with a default catalogue and schema.
pub(super) fn schema_of(state: &SessionState) -> Result<Arc<dyn SchemaProvider>> {
    state.schema_for_ref(EVIDENCE).map_err(failure::error)
}

/// A catalogue that holds `tables` under the default names of `options` and nothing else.
///
/// # Errors
/// Never for a catalogue in memory.
pub(super) fn catalogs_of(
    options: &CatalogOptions,
    tables: Arc<dyn SchemaProvider>,
) -> Result<Arc<dyn CatalogProviderList>> {
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(&options.default_schema, tables).map_err(failure::error)?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(options.default_catalog.clone(), Arc::new(catalog));
    Ok(Arc::new(catalogs))
}
