-- question: How far off is the agent's confidence, in one number?
-- grain:    one row per key of each grain; a batch with an action in the period counts whole, every
--           other row holds the actions of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30  days that a correction may take
-- returns:  grain         utf8     period, workflow, batch, issue_type, rule_version,
--                                  prompt_version, model_version, segment, permission_level,
--                                  permission_area or operation
--           key           utf8     null for the period, else the value of that attribute
--           numerator     int64    verdict true_positive
--           denominator   int64    verdict true_positive or false_positive, confidence known
--           value         float64  mean squared distance of confidence from 1 (right) or 0 (wrong);
--                                  0 is perfect; null when nothing is in it
--           ci_low        float64  null: the score is no share
--           ci_high       float64  null
--           pending       int64    proposed, not executed, and undecided or escalated
--           status        utf8     no_data, immature, small_sample or ok
--           base_rate     float64  numerator / denominator: how often the agent was right
--           naive_score   float64  the score of saying base_rate every time; a higher value than this
--                                  means that the confidence tells nothing
-- needs:    confidence, action.decided, action.executed, action.rolled_back, action.labeled,
--           record.corrected
-- window:   actions
-- why:      the sum is one of decimals: the order of the rows must not show in it.

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
counts as (
    select
        grain,
        key,
        count(confidence) filter (where verdict = 'true_positive') as numerator,
        count(confidence) filter (where verdict in ('true_positive', 'false_positive')) as denominator,
        sum(cast(
            case verdict
                when 'true_positive' then (1 - confidence) * (1 - confidence)
                when 'false_positive' then confidence * confidence
            end as decimal(38, 18)
        )) as squares,
        count(*) filter (where is_unresolved) as pending,
        max(cohort_at) as latest_at
    from graded
    where is_in_period or grain = 'batch'
    group by grain, key
    having bool_or(is_in_period)
),
scores as (
    select
        grain,
        key,
        numerator,
        denominator,
        cast(squares as double) / nullif(denominator, 0) as value,
        cast(numerator as double) / nullif(denominator, 0) as base_rate,
        pending,
        latest_at
    from counts
)
select
    grain,
    key,
    numerator,
    denominator,
    value,
    cast(null as double) as ci_low,
    cast(null as double) as ci_high,
    pending,
    case
        when denominator = 0 then 'no_data'
        when latest_at + cast(concat($maturity_days, ' days') as interval) > $as_of then 'immature'
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status,
    base_rate,
    base_rate * (1 - base_rate) as naive_score
from scores
order by
    case grain when 'period' then 0 when 'workflow' then 1 when 'batch' then 2 else 3 end,
    grain, key
