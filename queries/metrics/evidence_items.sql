-- question: Which items of evidence do the actions executed lack?
-- grain:    one row per item for each key of each grain; a batch with an action in the period counts
--           whole, every other row holds the actions of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  grain        utf8     period, workflow, batch, issue_type, rule_version,
--                                 prompt_version, model_version, segment, permission_level,
--                                 permission_area or operation
--           key          utf8     null for the period, else the value of that attribute
--           part         utf8     name of the item; always all twelve
--           numerator    int64    of those, the item is held or cannot apply
--           denominator  int64    executed with outcome succeeded, partial or unknown
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    proposed, not executed, undecided
--           status       utf8     no_data, small_sample or ok
-- needs:    action.proposed, action.decided, action.executed, inputs, rollback_ref
-- window:   actions
-- why:      evidence_completeness says how many actions are complete, this says what to ask the
--           producer for.

with scoped as (
    select
        grain,
        key,
        any_executed,
        is_undecided,
        has_workflow,
        has_trigger,
        has_inputs,
        has_version,
        has_proposed_action,
        has_taken_action,
        has_values,
        has_reason,
        has_reviewer,
        has_approval_status,
        has_timestamp,
        has_rollback_path,
        cohort_at >= $period_start and cohort_at < $period_end as is_in_period
    from evidence_scopes
    union all
    select
        'period', null, null, null, null, null, null, null, null, null, null, null, null, null, null,
        null, true
),
scopes as (
    select
        grain,
        key,
        count(*) filter (where any_executed) as denominator,
        count(*) filter (where any_executed and has_workflow) as workflow,
        count(*) filter (where any_executed and has_trigger) as trigger,
        count(*) filter (where any_executed and has_inputs) as inputs,
        count(*) filter (where any_executed and has_version) as version,
        count(*) filter (where any_executed and has_proposed_action) as proposed_action,
        count(*) filter (where any_executed and has_taken_action) as taken_action,
        count(*) filter (where any_executed and has_values) as values_held,
        count(*) filter (where any_executed and has_reason) as reason,
        count(*) filter (where any_executed and has_reviewer) as reviewer,
        count(*) filter (where any_executed and has_approval_status) as approval_status,
        count(*) filter (where any_executed and has_timestamp) as timestamp_held,
        count(*) filter (where any_executed and has_rollback_path) as rollback_path,
        count(*) filter (where is_undecided) as pending
    from scoped
    where is_in_period or grain = 'batch'
    group by grain, key
    having bool_or(is_in_period)
),
counts as (
    select
        s.grain,
        s.key,
        i.position,
        i.part,
        case i.position
            when 1 then s.workflow
            when 2 then s.trigger
            when 3 then s.inputs
            when 4 then s.version
            when 5 then s.proposed_action
            when 6 then s.taken_action
            when 7 then s.values_held
            when 8 then s.reason
            when 9 then s.reviewer
            when 10 then s.approval_status
            when 11 then s.timestamp_held
            when 12 then s.rollback_path
        end as numerator,
        s.denominator,
        s.pending
    from scopes as s
    cross join (
        values
            (1, 'workflow'), (2, 'trigger'), (3, 'inputs'), (4, 'prompt or rule version'),
            (5, 'action proposed'), (6, 'action taken'), (7, 'old and new value'),
            (8, 'confidence or reason code'), (9, 'reviewer'), (10, 'approval status'),
            (11, 'timestamp'), (12, 'rollback path')
    ) as i (position, part)
)
select
    grain,
    key,
    part,
    numerator,
    denominator,
    cast(numerator as double) / nullif(denominator, 0) as value,
    case when denominator > 0 then wilson_low(numerator, denominator) end as ci_low,
    case when denominator > 0 then wilson_high(numerator, denominator) end as ci_high,
    pending,
    case
        when denominator = 0 then 'no_data'
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status
from counts
order by
    case grain when 'period' then 0 when 'workflow' then 1 when 'batch' then 2 else 3 end,
    grain, key, position
