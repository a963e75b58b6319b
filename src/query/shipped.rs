//! The files under `queries/`, embedded in the binary.
//!
//! Out: path under `queries/` and text of each. Invariant: the table below lists every file of the folder and
//! no other; a test compares them and prints the missing line.

/// Every shipped query file.
pub const FILES: &[(&str, &str)] = &[
    ("health/months.sql", include_str!("../../queries/health/months.sql")),
    ("mappings/servicenow_incident_log.sql", include_str!("../../queries/mappings/servicenow_incident_log.sql")),
    ("metrics/approval_rate.sql", include_str!("../../queries/metrics/approval_rate.sql")),
    ("metrics/decision_mix.sql", include_str!("../../queries/metrics/decision_mix.sql")),
    ("metrics/edit_rate.sql", include_str!("../../queries/metrics/edit_rate.sql")),
    ("metrics/exception_origin.sql", include_str!("../../queries/metrics/exception_origin.sql")),
    ("metrics/exceptions_by_kind.sql", include_str!("../../queries/metrics/exceptions_by_kind.sql")),
    ("metrics/execution_failure_rate.sql", include_str!("../../queries/metrics/execution_failure_rate.sql")),
    ("metrics/false_discovery_rate.sql", include_str!("../../queries/metrics/false_discovery_rate.sql")),
    ("metrics/flag_rate.sql", include_str!("../../queries/metrics/flag_rate.sql")),
    ("metrics/log_health.sql", include_str!("../../queries/metrics/log_health.sql")),
    ("metrics/miss_rate.sql", include_str!("../../queries/metrics/miss_rate.sql")),
    ("metrics/monthly_routing_exceptions.sql", include_str!("../../queries/metrics/monthly_routing_exceptions.sql")),
    ("metrics/retry_rate.sql", include_str!("../../queries/metrics/retry_rate.sql")),
    ("metrics/routing_exception_rate.sql", include_str!("../../queries/metrics/routing_exception_rate.sql")),
    ("metrics/time_to_decision.sql", include_str!("../../queries/metrics/time_to_decision.sql")),
    ("metrics/trend_routing_exceptions.sql", include_str!("../../queries/metrics/trend_routing_exceptions.sql")),
    ("views/action_scopes.sql", include_str!("../../queries/views/action_scopes.sql")),
    ("views/actions.sql", include_str!("../../queries/views/actions.sql")),
    ("views/approved_executions.sql", include_str!("../../queries/views/approved_executions.sql")),
    ("views/corrections.sql", include_str!("../../queries/views/corrections.sql")),
    ("views/events.sql", include_str!("../../queries/views/events.sql")),
    ("views/exceptions.sql", include_str!("../../queries/views/exceptions.sql")),
    ("views/intake.sql", include_str!("../../queries/views/intake.sql")),
    ("views/records.sql", include_str!("../../queries/views/records.sql")),
    ("views/review_actions.sql", include_str!("../../queries/views/review_actions.sql")),
    ("views/review_scopes.sql", include_str!("../../queries/views/review_scopes.sql")),
    ("views/reviewed.sql", include_str!("../../queries/views/reviewed.sql")),
    ("views/verdicts.sql", include_str!("../../queries/views/verdicts.sql")),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_lists_every_file_of_the_folder() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        let mut lines = Vec::new();
        for folder in std::fs::read_dir(&root).unwrap() {
            let folder = folder.unwrap().path();
            if !folder.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(&folder).unwrap() {
                let file = file.unwrap().path();
                if file.extension().is_some_and(|e| e == "sql") {
                    lines.push(file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/"));
                }
            }
        }
        lines.sort();
        let listed: Vec<&str> = FILES.iter().map(|(file, _)| *file).collect();
        for file in &lines {
            let line = format!("(\"{file}\", include_str!(\"../../queries/{file}\")),");
            assert!(listed.contains(&file.as_str()), "add to src/query/shipped.rs: {line}");
        }
        assert_eq!(listed, lines, "the table is in order of file name");
    }
}
