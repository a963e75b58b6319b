-- question: What share of the approvals needed changes first?
-- grain:    one row per key of each grain; a batch with an action in the period counts whole, every
--           other row holds the actions of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  grain        utf8     period, workflow, batch, issue_type, rule_version,
--                                 prompt_version, model_version, segment, permission_level,
--                                 permission_area, operation or reviewer
--           key          utf8     null for the period, else the value of that attribute
--           numerator    int64    final decision approved_with_changes
--           denominator  int64    final decision approved or approved_with_changes
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    proposed, not executed, and undecided or escalated
--           status       utf8     no_data, small_sample or ok
-- needs:    action.proposed, action.decided
-- window:   actions
-- why:      a proposal that a person must mend is half a proposal.

with scoped as (
    select
        grain,
        key,
        final_decision,
        is_unresolved,
        cohort_at >= $period_start and cohort_at < $period_end as is_in_period
    from decision_scopes
    union all
    select 'period', null, null, false, true
),
counts as (
    select
        grain,
        key,
        count(*) filter (where final_decision = 'approved_with_changes') as numerator,
        count(*) filter (
            where final_decision in ('approved', 'approved_with_changes')
        ) as denominator,
        count(*) filter (where is_unresolved) as pending
    from scoped
    where is_in_period or grain = 'batch'
    group by grain, key
    having bool_or(is_in_period)
)
select
    grain,
    key,
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
    grain, key
