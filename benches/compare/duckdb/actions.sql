-- The fold of actions as DuckDB does it best: one pass, arg_max by one hugeint.
-- Same rows and columns as queries/views/actions.sql. arg_max passes over nulls, arg_max_null keeps them; 10^30 is
-- above every event_order, so that one key ranks proposals before, or escalations behind, everything else.

with keyed as (
    select
        *,
        event_order + case when event_type = 'action.proposed' then 0 else 1000000000000000000000000000000 end
            as proposal_key,
        case
            when decision = 'escalated' then event_order
            when decision is not null then event_order + 1000000000000000000000000000000
        end as final_key
    from events
    where action_id is not null
      and environment = 'production'
      and event_type not like 'evidence.%'
)
select
    action_id,
    arg_max(workflow, event_order) as workflow,
    arg_max(prompt_version, event_order) as prompt_version,
    arg_max(rule_version, event_order) as rule_version,
    arg_max(model_version, event_order) as model_version,
    arg_max(policy_version, event_order) as policy_version,
    arg_max(permission_area, event_order) as permission_area,
    arg_max(permission_level, event_order) as permission_level,
    arg_max(system, event_order) as system,
    arg_max(record_type, event_order) as record_type,
    arg_max(record_id, event_order) as record_id,
    arg_max(field, event_order) as field,
    arg_max(segment, event_order) as segment,
    arg_max(subject_id, event_order) as subject_id,
    arg_max(operation, event_order) as operation,
    arg_max(issue_type, event_order) as issue_type,
    arg_max(amount, event_order) as amount,
    arg_max(currency, event_order) as currency,
    arg_max(confidence, event_order) as confidence,
    arg_max(threshold, event_order) as threshold,
    arg_max(reversibility, event_order) as reversibility,
    arg_max(rollback_ref, event_order) as rollback_ref,
    arg_max(inputs, event_order) as inputs,
    arg_max(policy_outcome, event_order) as policy_outcome,
    arg_min(trigger, event_order) as trigger,
    arg_min(run_id, event_order) as run_id,
    arg_min(batch_id, event_order) as batch_id,
    coalesce(min(occurred_at) filter (where event_type = 'action.proposed'), min(occurred_at)) as cohort_at,
    coalesce(min(occurred_at) filter (where event_type = 'action.proposed'), min(occurred_at)) as proposed_at,
    coalesce(min(event_order) filter (where event_type = 'action.proposed'), min(event_order)) as proposal_order,
    bool_or(event_type = 'action.proposed') as has_proposal,
    arg_min_null(actor_id, proposal_key) as proposed_by,
    arg_min_null(actor_kind, proposal_key) as proposed_by_kind,
    arg_min_null(reason_code, proposal_key) as proposed_reason_code,
    arg_min_null(payload_hash, proposal_key) as proposed_payload_hash,
    arg_min(decision, event_order) as first_decision,
    min(occurred_at) filter (where decision is not null) as first_decision_at,
    min(event_order) filter (where decision is not null) as first_decision_order,
    arg_min_null(reviewer, event_order) filter (where decision is not null) as first_decision_reviewer,
    arg_min_null(reason_code, event_order) filter (where decision is not null) as first_decision_reason_code,
    arg_min_null(payload_hash, event_order) filter (where decision is not null) as first_decision_payload_hash,
    arg_min_null(review_opened_at, event_order) filter (where decision is not null) as first_decision_review_opened_at,
    arg_max(decision, final_key) as final_decision,
    coalesce(
        max(occurred_at) filter (where decision <> 'escalated'),
        max(occurred_at) filter (where decision is not null)
    ) as final_decision_at,
    coalesce(
        max(event_order) filter (where decision <> 'escalated'),
        max(event_order) filter (where decision is not null)
    ) as final_decision_order,
    arg_max_null(reviewer, final_key) as final_decision_reviewer,
    arg_max_null(reason_code, final_key) as final_decision_reason_code,
    arg_max_null(payload_hash, final_key) as final_decision_payload_hash,
    arg_max_null(review_opened_at, final_key) as final_decision_review_opened_at,
    bool_or(event_type = 'action.executed') as has_execution,
    min(occurred_at) filter (where event_type = 'action.executed') as executed_at,
    min(event_order) filter (where event_type = 'action.executed') as first_execution_order,
    max(occurred_at) filter (where event_type = 'action.executed') as last_executed_at,
    arg_max_null(actor_id, event_order) filter (where event_type = 'action.executed') as executed_by,
    arg_max_null(actor_kind, event_order) filter (where event_type = 'action.executed') as executed_by_kind,
    arg_max_null(outcome, event_order) filter (where event_type = 'action.executed') as outcome,
    arg_max_null(error, event_order) filter (where event_type = 'action.executed') as error,
    arg_max_null(old_value, event_order) filter (where event_type = 'action.executed') as old_value,
    arg_max_null(new_value, event_order) filter (where event_type = 'action.executed') as new_value,
    arg_max_null(payload_hash, event_order) filter (where event_type = 'action.executed') as executed_payload_hash,
    count(*) filter (where event_type = 'action.executed') as attempts,
    coalesce(bool_or(event_type = 'action.executed' and outcome in ('succeeded', 'failed', 'partial', 'unknown')), false) as any_attempted,
    coalesce(bool_or(event_type = 'action.executed' and outcome in ('succeeded', 'partial', 'unknown')), false) as any_executed,
    arg_max(outcome, event_order) filter (where event_type = 'action.executed' and outcome in ('succeeded', 'failed', 'partial', 'unknown')) as last_attempt_outcome,
    max(attempt) filter (where event_type = 'action.executed' and outcome in ('succeeded', 'failed', 'partial', 'unknown')) as max_attempt,
    max(occurred_at) filter (where event_type = 'action.executed' and outcome = 'succeeded') as last_succeeded_at,
    max(event_order) filter (where event_type = 'action.executed' and outcome = 'succeeded') as last_succeeded_order,
    arg_max_null(old_value, event_order) filter (
        where event_type = 'action.executed' and outcome = 'succeeded'
    ) as last_succeeded_old_value,
    max(occurred_at) filter (where event_type = 'action.rolled_back') as rolled_back_at,
    arg_max_null(outcome, event_order) filter (where event_type = 'action.rolled_back') as rollback_outcome,
    arg_max_null(actor_id, event_order) filter (where event_type = 'action.rolled_back') as rolled_back_by,
    arg_max_null(actor_kind, event_order) filter (where event_type = 'action.rolled_back') as rolled_back_by_kind,
    coalesce(bool_or(event_type = 'action.rolled_back' and outcome = 'succeeded'), false) as any_rolled_back,
    arg_max_null(label, event_order) filter (where event_type = 'action.labeled') as label,
    coalesce(bool_or(decision is not null and (reviewer is not null or actor_kind = 'human')), false) as has_human_decision
from keyed
group by action_id
