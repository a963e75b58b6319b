//! The files under `queries/`, embedded in the binary.
//!
//! Out: path under `queries/` and text of each. Invariant: the table below lists every file of the folder and
//! no other; a test compares them and prints the missing line.

/// Every shipped query file.
pub const FILES: &[(&str, &str)] = &[
    ("controls/approval_missing.sql", include_str!("../../queries/controls/approval_missing.sql")),
    ("controls/approval_reused.sql", include_str!("../../queries/controls/approval_reused.sql")),
    ("controls/area_without_owner.sql", include_str!("../../queries/controls/area_without_owner.sql")),
    (
        "controls/below_threshold_not_reviewed.sql",
        include_str!("../../queries/controls/below_threshold_not_reviewed.sql"),
    ),
    ("controls/blocked_field_touched.sql", include_str!("../../queries/controls/blocked_field_touched.sql")),
    ("controls/bulk_over_limit.sql", include_str!("../../queries/controls/bulk_over_limit.sql")),
    ("controls/chain_break.sql", include_str!("../../queries/controls/chain_break.sql")),
    (
        "controls/config_changed_without_person.sql",
        include_str!("../../queries/controls/config_changed_without_person.sql"),
    ),
    ("controls/decided_after_execution.sql", include_str!("../../queries/controls/decided_after_execution.sql")),
    ("controls/duplicate_side_effect.sql", include_str!("../../queries/controls/duplicate_side_effect.sql")),
    (
        "controls/evidence_missing_and_executed.sql",
        include_str!("../../queries/controls/evidence_missing_and_executed.sql"),
    ),
    ("controls/executed_without_proposal.sql", include_str!("../../queries/controls/executed_without_proposal.sql")),
    (
        "controls/executed_without_valid_approval.sql",
        include_str!("../../queries/controls/executed_without_valid_approval.sql"),
    ),
    ("controls/expired_approval_used.sql", include_str!("../../queries/controls/expired_approval_used.sql")),
    (
        "controls/level_3_without_sample_review.sql",
        include_str!("../../queries/controls/level_3_without_sample_review.sql"),
    ),
    (
        "controls/level_5_incomplete_evidence.sql",
        include_str!("../../queries/controls/level_5_incomplete_evidence.sql"),
    ),
    ("controls/not_in_policy.sql", include_str!("../../queries/controls/not_in_policy.sql")),
    (
        "controls/patch_differs_from_approval.sql",
        include_str!("../../queries/controls/patch_differs_from_approval.sql"),
    ),
    ("controls/prohibited_action_executed.sql", include_str!("../../queries/controls/prohibited_action_executed.sql")),
    ("controls/read_without_citation.sql", include_str!("../../queries/controls/read_without_citation.sql")),
    ("controls/rejected_but_executed.sql", include_str!("../../queries/controls/rejected_but_executed.sql")),
    ("controls/review_overdue.sql", include_str!("../../queries/controls/review_overdue.sql")),
    ("controls/reviewer_not_authorised.sql", include_str!("../../queries/controls/reviewer_not_authorised.sql")),
    ("controls/self_approval.sql", include_str!("../../queries/controls/self_approval.sql")),
    ("controls/source_seq_gaps.sql", include_str!("../../queries/controls/source_seq_gaps.sql")),
    ("controls/write_while_paused.sql", include_str!("../../queries/controls/write_while_paused.sql")),
    ("governance/batch_packet.sql", include_str!("../../queries/governance/batch_packet.sql")),
    ("governance/batch_records.sql", include_str!("../../queries/governance/batch_records.sql")),
    ("governance/change_effects.sql", include_str!("../../queries/governance/change_effects.sql")),
    ("governance/changes.sql", include_str!("../../queries/governance/changes.sql")),
    ("governance/data_access.sql", include_str!("../../queries/governance/data_access.sql")),
    ("governance/findings.sql", include_str!("../../queries/governance/findings.sql")),
    ("governance/incidents.sql", include_str!("../../queries/governance/incidents.sql")),
    ("governance/inventory.sql", include_str!("../../queries/governance/inventory.sql")),
    ("governance/issued_reports.sql", include_str!("../../queries/governance/issued_reports.sql")),
    ("governance/month_counts.sql", include_str!("../../queries/governance/month_counts.sql")),
    ("governance/permissions_unused.sql", include_str!("../../queries/governance/permissions_unused.sql")),
    ("governance/processors.sql", include_str!("../../queries/governance/processors.sql")),
    ("governance/raised_exceptions.sql", include_str!("../../queries/governance/raised_exceptions.sql")),
    ("governance/rejection_reasons.sql", include_str!("../../queries/governance/rejection_reasons.sql")),
    ("governance/retention.sql", include_str!("../../queries/governance/retention.sql")),
    ("governance/reviewer_agreement.sql", include_str!("../../queries/governance/reviewer_agreement.sql")),
    ("governance/reviewer_patterns.sql", include_str!("../../queries/governance/reviewer_patterns.sql")),
    ("governance/reviews_due.sql", include_str!("../../queries/governance/reviews_due.sql")),
    ("governance/rollout.sql", include_str!("../../queries/governance/rollout.sql")),
    ("governance/versions.sql", include_str!("../../queries/governance/versions.sql")),
    ("health/months.sql", include_str!("../../queries/health/months.sql")),
    ("health/workflows.sql", include_str!("../../queries/health/workflows.sql")),
    ("mappings/hubspot_property_history.sql", include_str!("../../queries/mappings/hubspot_property_history.sql")),
    ("mappings/microsoft365_audit.sql", include_str!("../../queries/mappings/microsoft365_audit.sql")),
    ("mappings/ocsf.sql", include_str!("../../queries/mappings/ocsf.sql")),
    ("mappings/otel_genai.sql", include_str!("../../queries/mappings/otel_genai.sql")),
    ("mappings/salesforce_field_history.sql", include_str!("../../queries/mappings/salesforce_field_history.sql")),
    (
        "mappings/salesforce_setup_audit_trail.sql",
        include_str!("../../queries/mappings/salesforce_setup_audit_trail.sql"),
    ),
    ("mappings/servicenow_incident_log.sql", include_str!("../../queries/mappings/servicenow_incident_log.sql")),
    ("mappings/servicenow_sys_audit.sql", include_str!("../../queries/mappings/servicenow_sys_audit.sql")),
    ("mappings/tau_bench_airline.sql", include_str!("../../queries/mappings/tau_bench_airline.sql")),
    ("metrics/approval_coverage.sql", include_str!("../../queries/metrics/approval_coverage.sql")),
    ("metrics/approval_rate.sql", include_str!("../../queries/metrics/approval_rate.sql")),
    ("metrics/auto_run_rate.sql", include_str!("../../queries/metrics/auto_run_rate.sql")),
    ("metrics/brier_score.sql", include_str!("../../queries/metrics/brier_score.sql")),
    ("metrics/calibration.sql", include_str!("../../queries/metrics/calibration.sql")),
    ("metrics/confidence_threshold.sql", include_str!("../../queries/metrics/confidence_threshold.sql")),
    ("metrics/decision_mix.sql", include_str!("../../queries/metrics/decision_mix.sql")),
    ("metrics/edit_rate.sql", include_str!("../../queries/metrics/edit_rate.sql")),
    ("metrics/evidence_completeness.sql", include_str!("../../queries/metrics/evidence_completeness.sql")),
    ("metrics/evidence_items.sql", include_str!("../../queries/metrics/evidence_items.sql")),
    ("metrics/exception_origin.sql", include_str!("../../queries/metrics/exception_origin.sql")),
    ("metrics/exceptions_by_kind.sql", include_str!("../../queries/metrics/exceptions_by_kind.sql")),
    ("metrics/execution_failure_rate.sql", include_str!("../../queries/metrics/execution_failure_rate.sql")),
    ("metrics/exposure.sql", include_str!("../../queries/metrics/exposure.sql")),
    ("metrics/false_discovery_rate.sql", include_str!("../../queries/metrics/false_discovery_rate.sql")),
    ("metrics/fast_approval_share.sql", include_str!("../../queries/metrics/fast_approval_share.sql")),
    ("metrics/flag_rate.sql", include_str!("../../queries/metrics/flag_rate.sql")),
    ("metrics/log_health.sql", include_str!("../../queries/metrics/log_health.sql")),
    ("metrics/miss_rate.sql", include_str!("../../queries/metrics/miss_rate.sql")),
    ("metrics/monthly_routing_exceptions.sql", include_str!("../../queries/metrics/monthly_routing_exceptions.sql")),
    ("metrics/rejection_rate.sql", include_str!("../../queries/metrics/rejection_rate.sql")),
    ("metrics/retry_rate.sql", include_str!("../../queries/metrics/retry_rate.sql")),
    ("metrics/reversal_rate.sql", include_str!("../../queries/metrics/reversal_rate.sql")),
    ("metrics/rollback_rate.sql", include_str!("../../queries/metrics/rollback_rate.sql")),
    ("metrics/rollback_readiness.sql", include_str!("../../queries/metrics/rollback_readiness.sql")),
    ("metrics/rollback_success_rate.sql", include_str!("../../queries/metrics/rollback_success_rate.sql")),
    ("metrics/routing_exception_rate.sql", include_str!("../../queries/metrics/routing_exception_rate.sql")),
    ("metrics/segment_disparity.sql", include_str!("../../queries/metrics/segment_disparity.sql")),
    ("metrics/time_to_decision.sql", include_str!("../../queries/metrics/time_to_decision.sql")),
    ("metrics/trend_rates.sql", include_str!("../../queries/metrics/trend_rates.sql")),
    ("metrics/trend_routing_exceptions.sql", include_str!("../../queries/metrics/trend_routing_exceptions.sql")),
    ("review/marking_agreement.sql", include_str!("../../queries/review/marking_agreement.sql")),
    ("review/marking_patterns.sql", include_str!("../../queries/review/marking_patterns.sql")),
    ("review/review_results.sql", include_str!("../../queries/review/review_results.sql")),
    ("review/reviewer_types.sql", include_str!("../../queries/review/reviewer_types.sql")),
    ("views/action_events.sql", include_str!("../../queries/views/action_events.sql")),
    ("views/action_evidence.sql", include_str!("../../queries/views/action_evidence.sql")),
    ("views/action_scopes.sql", include_str!("../../queries/views/action_scopes.sql")),
    ("views/action_writes.sql", include_str!("../../queries/views/action_writes.sql")),
    ("views/actions.sql", include_str!("../../queries/views/actions.sql")),
    ("views/all_actions.sql", include_str!("../../queries/views/all_actions.sql")),
    ("views/approvals.sql", include_str!("../../queries/views/approvals.sql")),
    ("views/approved_executions.sql", include_str!("../../queries/views/approved_executions.sql")),
    ("views/corrections.sql", include_str!("../../queries/views/corrections.sql")),
    ("views/decision_scopes.sql", include_str!("../../queries/views/decision_scopes.sql")),
    ("views/decisions.sql", include_str!("../../queries/views/decisions.sql")),
    ("views/events.sql", include_str!("../../queries/views/events.sql")),
    ("views/evidence_scopes.sql", include_str!("../../queries/views/evidence_scopes.sql")),
    ("views/exceptions.sql", include_str!("../../queries/views/exceptions.sql")),
    ("views/first_decision_scopes.sql", include_str!("../../queries/views/first_decision_scopes.sql")),
    ("views/first_decisions.sql", include_str!("../../queries/views/first_decisions.sql")),
    ("views/intake.sql", include_str!("../../queries/views/intake.sql")),
    ("views/judged_actions.sql", include_str!("../../queries/views/judged_actions.sql")),
    ("views/policies.sql", include_str!("../../queries/views/policies.sql")),
    ("views/policy_rules.sql", include_str!("../../queries/views/policy_rules.sql")),
    ("views/records.sql", include_str!("../../queries/views/records.sql")),
    ("views/repairs.sql", include_str!("../../queries/views/repairs.sql")),
    ("views/review_actions.sql", include_str!("../../queries/views/review_actions.sql")),
    ("views/review_marks.sql", include_str!("../../queries/views/review_marks.sql")),
    ("views/review_scopes.sql", include_str!("../../queries/views/review_scopes.sql")),
    ("views/reviewed.sql", include_str!("../../queries/views/reviewed.sql")),
    ("views/reviewed_actions.sql", include_str!("../../queries/views/reviewed_actions.sql")),
    ("views/sample_reviews.sql", include_str!("../../queries/views/sample_reviews.sql")),
    ("views/source_runs.sql", include_str!("../../queries/views/source_runs.sql")),
    ("views/verdict_scopes.sql", include_str!("../../queries/views/verdict_scopes.sql")),
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
