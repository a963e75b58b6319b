-- question: How did the rates of decisions and outcomes move from week to week?
-- grain:    one row per metric and week
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30     days that a correction may take
--           time_zone      utf8       = 'UTC'  in which the weeks begin
-- returns:  metric       utf8     approval_rate, execution_failure_rate, false_discovery_rate,
--                                 rejection_rate
--           week_start   utf8     YYYY-MM-DD, the ISO Monday
--           numerator    int64    as in the metric of that name, for the actions of the week
--           denominator  int64
--           value        float64  numerator / denominator
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           status       utf8     immature, small_sample or ok
--           center       float64  rate of all weeks shown together
--           limit_low    float64  p-chart, 3 standard deviations around it
--           limit_high   float64
--           laney_low    float64  the same, widened by how much the weeks differ anyhow; null for one week
--           laney_high   float64
--           is_signal    boolean  outside the p-chart; by exact binomial tails where few are expected
-- needs:    action.proposed, action.decided, action.executed, action.labeled, record.corrected
-- window:   actions
-- why:      weeks without an action in the denominator are left out. Only a rate whose verdicts wait for
--           corrections can be immature.

with facts as (
    select
        'approval_rate' as metric,
        cohort_at,
        case
            when final_decision in ('approved', 'approved_with_changes') then 1
            when final_decision = 'rejected' then 0
        end as hit
    from action_scopes
    where grain = 'period'
    union all
    select
        'rejection_rate',
        cohort_at,
        case
            when final_decision in ('approved', 'approved_with_changes') then 0
            when final_decision = 'rejected' then 1
        end
    from action_scopes
    where grain = 'period'
    union all
    select
        'execution_failure_rate',
        cohort_at,
        case
            when not any_attempted then null
            when last_attempt_outcome in ('failed', 'partial', 'unknown') then 1
            else 0
        end
    from action_scopes
    where grain = 'period'
    union all
    select
        'false_discovery_rate',
        cohort_at,
        case
            coalesce(
                verdict,
                case
                    when corrected_at < cohort_at + cast(concat($maturity_days, ' days') as interval)
                        then 'true_positive'
                end
            )
            when 'false_positive' then 1
            when 'true_positive' then 0
        end
    from verdict_scopes
    where grain = 'period'
),
counts as (
    select
        metric,
        to_char(date_trunc('week', local_time(cohort_at, $time_zone)), '%Y-%m-%d') as week_start,
        sum(hit) as numerator,
        count(hit) as denominator,
        max(cohort_at) as latest_at
    from facts
    where cohort_at >= $period_start
      and cohort_at < $period_end
    group by metric, to_char(date_trunc('week', local_time(cohort_at, $time_zone)), '%Y-%m-%d')
    having count(hit) > 0
),
lists as (
    select
        metric,
        array_agg(week_start order by week_start) as week_starts,
        array_agg(numerator order by week_start) as numerators,
        array_agg(denominator order by week_start) as denominators,
        array_agg(latest_at order by week_start) as latest_at
    from counts
    group by metric
),
points as (
    select
        metric,
        unnest(week_starts) as week_start,
        unnest(numerators) as numerator,
        unnest(denominators) as denominator,
        unnest(latest_at) as latest_at,
        unnest(p_chart(numerators, denominators)) as point
    from lists
)
select
    metric,
    week_start,
    numerator,
    denominator,
    cast(numerator as double) / denominator as value,
    wilson_low(numerator, denominator) as ci_low,
    wilson_high(numerator, denominator) as ci_high,
    case
        when metric = 'false_discovery_rate'
            and latest_at + cast(concat($maturity_days, ' days') as interval) > $as_of
            then 'immature'
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status,
    point['center'] as center,
    point['low'] as limit_low,
    point['high'] as limit_high,
    point['laney_low'] as laney_low,
    point['laney_high'] as laney_high,
    point['is_signal'] as is_signal
from points
order by metric, week_start
