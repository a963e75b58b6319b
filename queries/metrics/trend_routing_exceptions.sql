-- question: How did the routing exception rate move from week to week?
-- grain:    one row per week
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30     days that a correction may take
--           time_zone      utf8       = 'UTC'  in which the weeks begin
-- returns:  week_start  utf8     YYYY-MM-DD, the ISO Monday
--           reviewed    int64    records reviewed, flagged or not
--           exceptions  int64    records of them that turned out to be a routing exception
--           value       float64  exceptions / reviewed; null when nothing was reviewed
--           ci_low      float64  Wilson 95 %
--           ci_high     float64
--           status      utf8     no_data, immature, small_sample or ok
--           center      float64  rate of all weeks shown together
--           limit_low   float64  p-chart, 3 standard deviations around it
--           limit_high  float64
--           laney_low   float64  the same, widened by how much the weeks differ anyhow; null for one week
--           laney_high  float64
--           is_signal   boolean  outside the p-chart; by exact binomial tails where center x reviewed < 5
--           ewma        float64  moving average of the weeks, weight 0.2
--           ewma_low    float64
--           ewma_high   float64
--           alarm       float64  Shiryaev-Roberts statistic; from 52 on the rate has gone up, with one
--                                false alarm a year at most; null when every record was an exception
-- needs:    record.reviewed, record.corrected, action.decided, action.executed, action.rolled_back
-- window:   reviews
-- why:      each week is a period of its own for routing_exception_rate: a record counts once in
--           each week in which it was reviewed. Weeks at the edge hold the days within the period
--           only; weeks without a review are left out, of the chart too. An immature week reads low: a
--           signal above the limits is one already, a signal below them is none yet. The alarm asks
--           whether the odds have doubled; its normal rate is the Wilson upper bound of center, so that
--           a short history does not cry wolf.

with reviews as (
    select
        to_char(date_trunc('week', local_time(reviewed_at, $time_zone)), '%Y-%m-%d') as week_start,
        system,
        record_type,
        record_id,
        min(reviewed_at) as reviewed_at,
        min(event_order) as review_order
    from reviewed
    where reviewed_at >= $period_start and reviewed_at < $period_end
    group by
        to_char(date_trunc('week', local_time(reviewed_at, $time_zone)), '%Y-%m-%d'),
        system,
        record_type,
        record_id
),
-- A record is known by its first review: one number to group by instead of four texts.
outcomes as (
    select
        r.week_start,
        max(r.reviewed_at) as reviewed_at,
        count(r.record_id) > 0 as is_record,
        count(x.kind) > 0 as is_exception
    from reviews as r
    left join exceptions as x
        on x.system = r.system
        and x.record_type = r.record_type
        and x.record_id = r.record_id
        and x.event_order > r.review_order
        and x.occurred_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    group by r.week_start, r.review_order
),
counts as (
    select
        week_start,
        count(*) filter (where is_record) as reviewed,
        count(*) filter (where is_exception) as exceptions,
        max(reviewed_at) as latest_at
    from outcomes
    group by week_start
),
lists as (
    select
        array_agg(week_start order by week_start) as week_starts,
        array_agg(reviewed order by week_start) as reviewed,
        array_agg(exceptions order by week_start) as exceptions,
        array_agg(latest_at order by week_start) as latest_at,
        cast(sum(exceptions) as double) / sum(reviewed) as center,
        wilson_high(sum(exceptions), sum(reviewed)) as normal_rate
    from counts
    having count(*) > 0
),
points as (
    select
        unnest(week_starts) as week_start,
        unnest(reviewed) as reviewed,
        unnest(exceptions) as exceptions,
        unnest(latest_at) as latest_at,
        unnest(p_chart(exceptions, reviewed)) as point,
        unnest(ewma_chart(exceptions, reviewed, center)) as average,
        unnest(
            case
                when normal_rate < 1 then shiryaev_roberts(
                    exceptions,
                    reviewed,
                    normal_rate,
                    2 * normal_rate / (1 + normal_rate)
                )
            end
        ) as alarm
    from lists
)
select
    week_start,
    reviewed,
    exceptions,
    cast(exceptions as double) / nullif(reviewed, 0) as value,
    case when reviewed > 0 then wilson_low(exceptions, reviewed) end as ci_low,
    case when reviewed > 0 then wilson_high(exceptions, reviewed) end as ci_high,
    case
        when reviewed = 0 then 'no_data'
        when latest_at + cast(concat($maturity_days, ' days') as interval) > $as_of then 'immature'
        when reviewed < 30 then 'small_sample'
        else 'ok'
    end as status,
    point['center'] as center,
    point['low'] as limit_low,
    point['high'] as limit_high,
    point['laney_low'] as laney_low,
    point['laney_high'] as laney_high,
    point['is_signal'] as is_signal,
    average['ewma'] as ewma,
    average['low'] as ewma_low,
    average['high'] as ewma_high,
    alarm
from points
order by week_start
