-- question: From which confidence on is the agent right often enough to go unchecked?
-- grain:    one row per key of each grain; a batch with an action in the period counts whole, every
--           other row holds the actions of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30    days that a correction may take
--           target         float64    = 0.9   share that must be right
--           alpha          float64    = 0.05  chance of a threshold that is too low
-- returns:  grain        utf8     period, workflow, batch, issue_type, rule_version,
--                                 prompt_version, model_version, segment, permission_level,
--                                 permission_area or operation
--           key          utf8     null for the period, else the value of that attribute
--           numerator    int64    verdict true_positive, at any confidence
--           denominator  int64    verdict true_positive or false_positive, confidence known
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    proposed, not executed, and undecided or escalated
--           status       utf8     no_data, immature, small_sample or ok
--           threshold    float64  lowest that passed; null when 0.95 does not
--           chosen       int64    actions of the denominator at or above it
--           correct      int64    of those, verdict true_positive
--           lower_bound  float64  one-sided exact bound of correct / chosen at alpha
-- needs:    confidence, action.decided, action.executed, action.rolled_back, action.labeled,
--           record.corrected
-- window:   actions
-- why:      a fixed grid from 0.95 down that stops at the first failure needs no correction for trying
--           many; picking the best cut of the same data would.

with graded as (
    select
        grain,
        key,
        cohort_at,
        is_unresolved,
        confidence,
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
    select 'period', null, null, false, null, null, true
),
lists as (
    select
        grain,
        key,
        array_agg(confidence) filter (
            where confidence is not null and verdict = 'true_positive'
        ) as right_ones,
        array_agg(confidence) filter (
            where confidence is not null and verdict = 'false_positive'
        ) as wrong_ones,
        count(confidence) filter (where verdict = 'true_positive') as numerator,
        count(confidence) filter (where verdict in ('true_positive', 'false_positive')) as denominator,
        count(*) filter (where is_unresolved) as pending,
        max(cohort_at) as latest_at
    from graded
    where is_in_period or grain = 'batch'
    group by grain, key
    having bool_or(is_in_period)
),
counts as (
    select
        grain,
        key,
        numerator,
        denominator,
        pending,
        latest_at,
        case
            when denominator > 0 then threshold_for_precision(
                array_concat(right_ones, wrong_ones),
                array_concat(
                    array_repeat(true, numerator),
                    array_repeat(false, denominator - numerator)
                ),
                $target,
                $alpha
            )
        end as answer
    from lists
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
    end as status,
    answer['threshold'] as threshold,
    answer['chosen'] as chosen,
    answer['correct'] as correct,
    answer['lower_bound'] as lower_bound
from counts
order by
    case grain when 'period' then 0 when 'workflow' then 1 when 'batch' then 2 else 3 end,
    grain, key
