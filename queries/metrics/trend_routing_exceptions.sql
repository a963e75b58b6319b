-- question: How did the routing exception rate move from week to week?
-- grain:    one row per week
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30  days that a correction may take
-- returns:  week_start  utf8     YYYY-MM-DD, the ISO Monday
--           reviewed    int64    records reviewed, flagged or not
--           exceptions  int64    records of them that turned out to be a routing exception
--           value       float64  exceptions / reviewed; null when nothing was reviewed
--           ci_low      float64  Wilson 95 %
--           ci_high     float64
--           status      utf8     no_data, immature, small_sample or ok
-- needs:    record.reviewed, record.corrected, action.decided, action.executed, action.rolled_back
-- why:      each week is a period of its own for routing_exception_rate: a record counts once in
--           each week in which it was reviewed. Weeks at the edge hold the days within the period
--           only; weeks without a review are left out.

with reviews as (
    select
        to_char(date_trunc('week', reviewed_at), '%Y-%m-%d') as week_start,
        system,
        record_type,
        record_id,
        min(reviewed_at) as reviewed_at,
        min(event_order) as review_order
    from reviewed
    where reviewed_at >= $period_start and reviewed_at < $period_end
    group by to_char(date_trunc('week', reviewed_at), '%Y-%m-%d'), system, record_type, record_id
),
outcomes as (
    select
        r.week_start,
        r.system,
        r.record_type,
        r.record_id,
        r.reviewed_at,
        count(x.kind) > 0 as is_exception
    from reviews as r
    left join exceptions as x
        on x.system = r.system
        and x.record_type = r.record_type
        and x.record_id = r.record_id
        and x.event_order > r.review_order
        and x.occurred_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    group by r.week_start, r.system, r.record_type, r.record_id, r.reviewed_at
),
counts as (
    select
        week_start,
        count(record_id) as reviewed,
        count(*) filter (where is_exception) as exceptions,
        max(reviewed_at) as latest_at
    from outcomes
    group by week_start
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
    end as status
from counts
order by week_start
