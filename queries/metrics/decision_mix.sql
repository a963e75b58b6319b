-- question: How were the actions first decided?
-- grain:    one row per decision for each key of each grain; a batch with an action in the period
--           counts whole, every other row holds the actions of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  grain        utf8     period, workflow, batch, issue_type, rule_version,
--                                 prompt_version, model_version, segment, permission_level,
--                                 permission_area or operation
--           key          utf8     null for the period, else the value of that attribute
--           part         utf8     approved, approved_with_changes, rejected, escalated; always all four
--           numerator    int64    actions whose first decision this is
--           denominator  int64    actions first decided in one of the four ways
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    proposed, not executed, undecided
--           status       utf8     no_data, small_sample or ok
-- needs:    action.proposed, action.decided
-- window:   actions
-- why:      the first decision, because it is what the reviewer made of the proposal; what came of
--           it is the approval rate.

with scoped as (
    select
        grain,
        key,
        first_decision,
        is_undecided,
        cohort_at >= $period_start and cohort_at < $period_end as is_in_period
    from action_scopes
    union all
    select 'period', null, null, false, true
),
scopes as (
    select
        grain,
        key,
        count(*) filter (where first_decision = 'approved') as approved,
        count(*) filter (where first_decision = 'approved_with_changes') as approved_with_changes,
        count(*) filter (where first_decision = 'rejected') as rejected,
        count(*) filter (where first_decision = 'escalated') as escalated,
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
        d.part,
        case d.part
            when 'approved' then s.approved
            when 'approved_with_changes' then s.approved_with_changes
            when 'rejected' then s.rejected
            when 'escalated' then s.escalated
        end as numerator,
        s.approved + s.approved_with_changes + s.rejected + s.escalated as denominator,
        s.pending
    from scopes as s
    cross join (
        values ('approved'), ('approved_with_changes'), ('rejected'), ('escalated')
    ) as d (part)
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
    grain, key, part
