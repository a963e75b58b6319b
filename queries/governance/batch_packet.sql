-- question: What did the agent propose in a batch, on what evidence, and what came of it?
-- grain:    one row per action of the batch
-- params:   batch_id       utf8
--           maturity_days  int64  = 30  days that a correction may take
-- returns:  record            utf8       system/record_type/record_id
--           action_id         utf8
--           issue_type        utf8
--           field             utf8
--           old_value         utf8       sealed; of the execution, else of the proposal, as the next
--           new_value         utf8       sealed
--           confidence        float64
--           proposed_at       timestamp
--           reason            utf8       reason code of the proposal
--           rule_version      utf8
--           prompt_version    utf8
--           model_version     utf8
--           inputs            utf8       system/record_type/record_id/field, joined by `; `
--           decision          utf8       final; null while undecided
--           reviewer          utf8
--           decided_at        timestamp
--           decision_reason   utf8
--           outcome           utf8       of the last execution
--           executed_at       timestamp  the first
--           rollback          utf8       rollback_ref: how to undo it
--           verdict           utf8       label, true_positive or false_positive; null while open
--           result            utf8       in words
--           evidence_missing  utf8       items of evidence that lack, joined by `, `; null when none
-- needs:    action.proposed
-- why:      what a reviewer of the week reads. The items are those of evidence completeness; an action
--           not executed lacks neither the action taken nor its values.

with batch_actions as (
    select
        a.action_id,
        concat_ws('/', a.system, a.record_type, a.record_id) as record,
        a.issue_type,
        a.field,
        coalesce(a.old_value, p.old_value) as old_value,
        coalesce(a.new_value, p.new_value) as new_value,
        a.confidence,
        a.proposed_at,
        a.proposal_order,
        a.proposed_reason_code,
        a.rule_version,
        a.prompt_version,
        a.model_version,
        a.inputs,
        a.rollback_ref,
        a.has_execution,
        a.any_executed,
        a.any_rolled_back,
        a.outcome,
        a.executed_at,
        a.final_decision,
        a.final_decision_reviewer,
        a.final_decision_at,
        a.final_decision_reason_code
    from actions as a
    inner join events as p on p.event_order = a.proposal_order
    where a.batch_id = $batch_id
),
inputs_read as (
    select
        action_id,
        string_agg(
            concat_ws('/', input['system'], input['record_type'], input['record_id'], input['field']),
            '; ' order by input['system'], input['record_type'], input['record_id'], input['field']
        ) as inputs
    from (
        select action_id, unnest(inputs) as input
        from batch_actions
    ) as unnested
    group by action_id
)
select
    a.record,
    a.action_id,
    a.issue_type,
    a.field,
    a.old_value,
    a.new_value,
    a.confidence,
    a.proposed_at,
    a.proposed_reason_code as reason,
    a.rule_version,
    a.prompt_version,
    a.model_version,
    i.inputs,
    a.final_decision as decision,
    a.final_decision_reviewer as reviewer,
    a.final_decision_at as decided_at,
    a.final_decision_reason_code as decision_reason,
    a.outcome,
    a.executed_at,
    a.rollback_ref as rollback,
    coalesce(
        v.verdict,
        case
            when v.corrected_at < v.cohort_at + cast(concat($maturity_days, ' days') as interval)
                then 'true_positive'
        end
    ) as verdict,
    case
        when a.any_rolled_back then 'rolled back'
        when a.outcome = 'succeeded' then 'applied'
        when a.has_execution then concat('execution ', a.outcome)
        when a.final_decision in ('approved', 'approved_with_changes') then 'approved, not executed'
        when a.final_decision = 'escalated' then 'escalated, open'
        when a.final_decision is not null then a.final_decision
        else 'pending'
    end as result,
    nullif(
        case
            when a.any_executed then e.missing
            else array_to_string(
                array_except(
                    string_to_array(e.missing, ', '), make_array('action taken', 'old and new value')
                ),
                ', '
            )
        end,
        ''
    ) as evidence_missing
from batch_actions as a
inner join verdicts as v on v.action_id = a.action_id
left join inputs_read as i on i.action_id = a.action_id
inner join action_evidence as e on e.action_id = a.action_id
order by a.record, a.proposal_order, a.action_id
