//! SQL functions of our own.
//!
//! In: columns. Out: columns of the same length. Invariant: each is pure and gives the same for the same
//! input; content that cannot be understood is null, never an error that repeats it.

mod by_runs;
mod intake;
mod json;
mod policy;
mod reads;
mod review;
mod row_function;
mod scalar;
mod statistics;
pub mod time;

pub use by_runs::by_runs;
use datafusion::logical_expr::ScalarUDF;

/// A function as the list of named queries shows it.
#[derive(Debug, Clone, Copy)]
pub struct FunctionNote {
    /// How it is called.
    pub call: &'static str,
    /// What it gives.
    pub gives: &'static str,
}

/// Every function made here, in words.
pub fn notes() -> impl Iterator<Item = &'static FunctionNote> {
    let families =
        [statistics::NOTES, review::NOTES, json::NOTES, reads::NOTES, time::NOTES, policy::NOTES, intake::NOTES];
    families.into_iter().flatten()
}

/// The scalar functions made here.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    let families = [time::functions(), policy::functions(), intake::functions()];
    let own = families.into_iter().flatten().map(ScalarUDF::new_from_impl);
    let by_row = statistics::functions().into_iter().chain(review::functions());
    by_row.chain(own).chain(reads::functions()).chain(source_functions()).collect()
}

/// Those that a mapping may use as well: how to read what a source sends.
pub fn source_functions() -> Vec<ScalarUDF> {
    json::functions().into_iter().map(ScalarUDF::new_from_impl).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    //! What a query gives with the functions registered, as a table.

    use datafusion::prelude::SessionContext;

    pub(crate) async fn text(sql: &str) -> String {
        let context = SessionContext::new();
        super::scalar_functions().into_iter().for_each(|f| context.register_udf(f));
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::text;
    use super::*;
    use crate::analysis::wilson::wilson;

    #[tokio::test]
    async fn wilson_bounds_are_those_of_the_analysis_and_null_of_null() {
        let (low, high) = wilson(3, 10);
        let sql = format!(
            "select wilson_low(k, n) = {low:?} and wilson_high(k, n) = {high:?} as same, wilson_low(null, n) as a, wilson_high(0, 0) as b
             from (values (3, 10)) as t(k, n)"
        );
        let shown = text(&sql).await;
        assert!(shown.contains("| true |   | 1.0 |"), "{shown}");
    }

    #[test]
    fn every_function_is_described() {
        let noted: Vec<&str> = notes().filter_map(|note| note.call.split('(').next()).collect();
        for function in scalar_functions() {
            assert!(noted.contains(&function.name()), "no note for {}", function.name());
        }
        assert_eq!(noted.len(), scalar_functions().len());
    }
}
