-- The fold of actions as ClickHouse does it best: one pass, argMax by one Int128 that is not nullable.
-- Same rows and columns as queries/views/actions.sql. argMax passes over nulls, a tuple of one keeps them; 10^30 is
-- above every event_order, so that one key ranks proposals before, or escalations behind, everything else.

with keyed as (
    select
        * except (event_order, occurred_at, event_type),
        assumeNotNull(event_type) as event_type,
        assumeNotNull(occurred_at) as occurred_at,
        assumeNotNull(event_order) as event_order,
        event_order + if(event_type = 'action.proposed', toInt128(0), toInt128('1000000000000000000000000000000'))
            as proposal_key,
        event_order + if(ifNull(decision, '') in ('escalated', ''), toInt128(0), toInt128('1000000000000000000000000000000'))
            as final_key
    from events
    where action_id is not null
      and environment = 'production'
      and event_type not like 'evidence.%'
)
select
    action_id,
    argMax(workflow, event_order) as workflow,
    argMax(prompt_version, event_order) as prompt_version,
    argMax(rule_version, event_order) as rule_version,
    argMax(model_version, event_order) as model_version,
    argMax(policy_version, event_order) as policy_version,
    argMax(permission_area, event_order) as permission_area,
    argMax(permission_level, event_order) as permission_level,
    argMax(system, event_order) as system,
    argMax(record_type, event_order) as record_type,
    argMax(record_id, event_order) as record_id,
    argMax(field, event_order) as field,
    argMax(segment, event_order) as segment,
    argMax(subject_id, event_order) as subject_id,
    argMax(operation, event_order) as operation,
    argMax(issue_type, event_order) as issue_type,
    argMax(amount, event_order) as amount,
    argMax(currency, event_order) as currency,
    argMax(confidence, event_order) as confidence,
    argMax(threshold, event_order) as threshold,
    argMax(reversibility, event_order) as reversibility,
    argMax(rollback_ref, event_order) as rollback_ref,
    argMaxIf(inputs, event_order, notEmpty(inputs)) as inputs,
    argMax(policy_outcome, event_order) as policy_outcome,
    argMin(trigger, event_order) as trigger,
    argMin(run_id, event_order) as run_id,
    argMin(batch_id, event_order) as batch_id,
    coalesce(minOrNullIf(occurred_at, event_type = 'action.proposed'), min(occurred_at)) as cohort_at,
    coalesce(minOrNullIf(occurred_at, event_type = 'action.proposed'), min(occurred_at)) as proposed_at,
    coalesce(minOrNullIf(event_order, event_type = 'action.proposed'), min(event_order)) as proposal_order,
    max(event_type = 'action.proposed') as has_proposal,
    tupleElement(argMin(tuple(actor_id), proposal_key), 1) as proposed_by,
    tupleElement(argMin(tuple(actor_kind), proposal_key), 1) as proposed_by_kind,
    tupleElement(argMin(tuple(reason_code), proposal_key), 1) as proposed_reason_code,
    tupleElement(argMin(tuple(payload_hash), proposal_key), 1) as proposed_payload_hash,
    argMin(decision, event_order) as first_decision,
    minOrNullIf(occurred_at, decision is not null) as first_decision_at,
    minOrNullIf(event_order, decision is not null) as first_decision_order,
    tupleElement(argMinIf(tuple(reviewer), event_order, decision is not null), 1) as first_decision_reviewer,
    tupleElement(argMinIf(tuple(reason_code), event_order, decision is not null), 1) as first_decision_reason_code,
    tupleElement(argMinIf(tuple(payload_hash), event_order, decision is not null), 1) as first_decision_payload_hash,
    tupleElement(argMinIf(tuple(review_opened_at), event_order, decision is not null), 1) as first_decision_review_opened_at,
    argMax(decision, final_key) as final_decision,
    coalesce(maxOrNullIf(occurred_at, decision <> 'escalated'), maxOrNullIf(occurred_at, decision is not null)) as final_decision_at,
    coalesce(maxOrNullIf(event_order, decision <> 'escalated'), maxOrNullIf(event_order, decision is not null))
        as final_decision_order,
    tupleElement(argMaxIf(tuple(reviewer), final_key, decision is not null), 1) as final_decision_reviewer,
    tupleElement(argMaxIf(tuple(reason_code), final_key, decision is not null), 1) as final_decision_reason_code,
    tupleElement(argMaxIf(tuple(payload_hash), final_key, decision is not null), 1) as final_decision_payload_hash,
    tupleElement(argMaxIf(tuple(review_opened_at), final_key, decision is not null), 1) as final_decision_review_opened_at,
    max(event_type = 'action.executed') as has_execution,
    minOrNullIf(occurred_at, event_type = 'action.executed') as executed_at,
    minOrNullIf(event_order, event_type = 'action.executed') as first_execution_order,
    maxOrNullIf(occurred_at, event_type = 'action.executed') as last_executed_at,
    tupleElement(argMaxIf(tuple(actor_id), event_order, event_type = 'action.executed'), 1) as executed_by,
    tupleElement(argMaxIf(tuple(actor_kind), event_order, event_type = 'action.executed'), 1) as executed_by_kind,
    tupleElement(argMaxIf(tuple(outcome), event_order, event_type = 'action.executed'), 1) as outcome,
    tupleElement(argMaxIf(tuple(error), event_order, event_type = 'action.executed'), 1) as error,
    tupleElement(argMaxIf(tuple(old_value), event_order, event_type = 'action.executed'), 1) as old_value,
    tupleElement(argMaxIf(tuple(new_value), event_order, event_type = 'action.executed'), 1) as new_value,
    tupleElement(argMaxIf(tuple(payload_hash), event_order, event_type = 'action.executed'), 1) as executed_payload_hash,
    countIf(event_type = 'action.executed') as attempts,
    coalesce(max(event_type = 'action.executed' and outcome in ('succeeded', 'failed', 'partial', 'unknown')), false) as any_attempted,
    coalesce(max(event_type = 'action.executed' and outcome in ('succeeded', 'partial', 'unknown')), false) as any_executed,
    argMaxIf(outcome, event_order, event_type = 'action.executed' and outcome in ('succeeded', 'failed', 'partial', 'unknown')) as last_attempt_outcome,
    maxOrNullIf(attempt, event_type = 'action.executed' and outcome in ('succeeded', 'failed', 'partial', 'unknown')) as max_attempt,
    maxOrNullIf(occurred_at, event_type = 'action.executed' and outcome = 'succeeded') as last_succeeded_at,
    maxOrNullIf(event_order, event_type = 'action.executed' and outcome = 'succeeded') as last_succeeded_order,
    tupleElement(
        argMaxIf(tuple(old_value), event_order, event_type = 'action.executed' and outcome = 'succeeded'), 1
    ) as last_succeeded_old_value,
    maxOrNullIf(occurred_at, event_type = 'action.rolled_back') as rolled_back_at,
    tupleElement(argMaxIf(tuple(outcome), event_order, event_type = 'action.rolled_back'), 1) as rollback_outcome,
    tupleElement(argMaxIf(tuple(actor_id), event_order, event_type = 'action.rolled_back'), 1) as rolled_back_by,
    tupleElement(argMaxIf(tuple(actor_kind), event_order, event_type = 'action.rolled_back'), 1) as rolled_back_by_kind,
    coalesce(max(event_type = 'action.rolled_back' and outcome = 'succeeded'), false) as any_rolled_back,
    tupleElement(argMaxIf(tuple(label), event_order, event_type = 'action.labeled'), 1) as label,
    coalesce(max(decision is not null and (reviewer is not null or actor_kind = 'human')), false)
        as has_human_decision
from keyed
group by action_id
