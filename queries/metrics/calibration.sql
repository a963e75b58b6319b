-- question: When the agent says that it is sure, how often is it right?
-- grain:    one row per tenth of confidence with a verdict in it for each key of each grain; for the
--           period always all ten; a batch with an action in the period counts whole, every other row
--           holds the actions of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30  days that a correction may take
-- returns:  grain            utf8     period, workflow, batch, issue_type, rule_version,
--                                     prompt_version, model_version, segment, permission_level,
--                                     permission_area or operation
--           key              utf8     null for the period, else the value of that attribute
--           bin              int64    0 to 9
--           low              float64  confidence from this
--           high             float64  to below this; the last bin includes 1
--           numerator        int64    verdict true_positive
--           denominator      int64    verdict true_positive or false_positive, confidence known
--           value            float64  numerator / denominator; null when nothing is in it
--           ci_low           float64  Wilson 95 %
--           ci_high          float64
--           mean_confidence  float64  of the denominator; a calibrated agent's is near value
--           pending          int64    null: an open action has no verdict to compare
--           status           utf8     no_data, immature, small_sample or ok
-- needs:    confidence, action.decided, action.executed, action.rolled_back, action.labeled,
--           record.corrected
-- window:   actions
-- why:      ten equal bins, so that nobody chooses the borders to please. The mean is a sum of decimals:
--           the order of the rows must not show in it.

with graded as (
    select
        grain,
        key,
        cohort_at,
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
),
binned as (
    select
        grain,
        key,
        cohort_at,
        case
            when confidence is not null and verdict in ('true_positive', 'false_positive')
                then least(9, cast(floor(confidence * 10) as bigint))
        end as bin,
        cast(confidence as decimal(38, 18)) as confidence,
        verdict,
        is_in_period
    from graded
    where is_in_period or grain = 'batch'
    union all
    select 'period', null, null, bin, null, null, true
    from (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as b (bin)
),
cells as (
    select
        grain,
        key,
        bin,
        count(*) filter (where verdict = 'true_positive') as numerator,
        count(verdict) as denominator,
        sum(confidence) as confidence,
        max(cohort_at) as latest_at,
        bool_or(is_in_period) as is_in_period
    from binned
    group by grain, key, bin
),
counts as (
    select
        grain,
        key,
        bin,
        numerator,
        denominator,
        confidence,
        max(latest_at) over (partition by grain, key) as latest_at,
        max(cast(is_in_period as bigint)) over (partition by grain, key) = 1 as is_in_period
    from cells
)
select
    grain,
    key,
    bin,
    bin / 10.0 as low,
    (bin + 1) / 10.0 as high,
    numerator,
    denominator,
    cast(numerator as double) / nullif(denominator, 0) as value,
    case when denominator > 0 then wilson_low(numerator, denominator) end as ci_low,
    case when denominator > 0 then wilson_high(numerator, denominator) end as ci_high,
    cast(confidence as double) / nullif(denominator, 0) as mean_confidence,
    cast(null as bigint) as pending,
    case
        when denominator = 0 then 'no_data'
        when latest_at + cast(concat($maturity_days, ' days') as interval) > $as_of then 'immature'
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status
from counts
where bin is not null
  and is_in_period
order by
    case grain when 'period' then 0 when 'workflow' then 1 when 'batch' then 2 else 3 end,
    grain, key, bin
