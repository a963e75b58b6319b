-- question: What share of the actions with a verdict was wrong?
-- grain:    one row per key of each grain; a batch with an action in the period counts whole, every
--           other row holds the actions of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30  days that a correction may take
-- returns:  grain        utf8     period, workflow, batch, issue_type, rule_version,
--                                 prompt_version, model_version, segment, permission_level,
--                                 permission_area or operation
--           key          utf8     null for the period, else the value of that attribute
--           numerator    int64    verdict false_positive
--           denominator  int64    verdict true_positive or false_positive
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    proposed, not executed, and undecided or escalated
--           status       utf8     no_data, immature, small_sample or ok
-- needs:    action.proposed, action.decided, action.executed, action.rolled_back, action.labeled,
--           record.corrected
-- window:   actions
-- why:      rejection alone is no false positive: right issue, wrong fix is a true positive once the
--           record is corrected, and has no verdict until then.

with graded as (
    select
        grain,
        key,
        cohort_at,
        is_unresolved,
        coalesce(
            verdict,
            case
                when corrected_at < cohort_at + cast(concat($maturity_days, ' days') as interval)
                    then 'true_positive'
            end
        ) as verdict,
        cohort_at >= $period_start and cohort_at < $period_end as is_in_period
    from verdict_scopes
    union all
    select 'period', null, null, false, null, true
),
counts as (
    select
        grain,
        key,
        count(*) filter (where verdict = 'false_positive') as numerator,
        count(*) filter (where verdict in ('true_positive', 'false_positive')) as denominator,
        count(*) filter (where is_unresolved) as pending,
        max(cohort_at) as latest_at
    from graded
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
        when latest_at + cast(concat($maturity_days, ' days') as interval) > $as_of then 'immature'
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status
from counts
order by
    case grain when 'period' then 0 when 'workflow' then 1 when 'batch' then 2 else 3 end,
    grain, key
