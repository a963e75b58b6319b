-- question: How did the routing exception rate move over the last six months?
-- grain:    one row per month
-- params:   period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30     days that a correction may take
--           time_zone      utf8       = 'UTC'  in which the months begin
-- returns:  month       utf8     YYYY-MM
--           reviewed    int64    records reviewed, flagged or not
--           exceptions  int64    records of them that turned out to be a routing exception
--           value       float64  exceptions / reviewed; null when nothing was reviewed
--           ci_low      float64  Wilson 95 %
--           ci_high     float64
--           status      utf8     no_data, immature, small_sample or ok
-- needs:    record.reviewed, record.corrected, action.decided, action.executed, action.rolled_back
-- window:   reviews, 6 months
-- why:      each month is a period of its own for routing_exception_rate; the last is the one in
--           which the period ends. All six are there, so that a gap shows as a gap.

with months as (
    select
        date_trunc(
            'month',
            local_time(
                arrow_cast($period_end, 'Timestamp(Microsecond, Some("UTC"))') - interval '1 microsecond',
                $time_zone
            )
        ) - before as month_at
    from (
        values
            (interval '0 months'), (interval '1 month'), (interval '2 months'),
            (interval '3 months'), (interval '4 months'), (interval '5 months')
    ) as earlier (before)
),
reviews as (
    select
        to_char(local_time(reviewed_at, $time_zone), '%Y-%m') as month,
        system,
        record_type,
        record_id,
        min(reviewed_at) as reviewed_at,
        min(event_order) as review_order
    from reviewed
    where reviewed_at >= (select utc_time(min(month_at), $time_zone) from months)
      and reviewed_at < $period_end
    group by to_char(local_time(reviewed_at, $time_zone), '%Y-%m'), system, record_type, record_id
),
-- A record is known by its first review: one number to group by instead of four texts.
outcomes as (
    select
        r.month,
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
    group by r.month, r.review_order
    union all
    select to_char(month_at, '%Y-%m'), null, false, false
    from months
),
counts as (
    select
        month,
        count(*) filter (where is_record) as reviewed,
        count(*) filter (where is_exception) as exceptions,
        max(reviewed_at) as latest_at
    from outcomes
    group by month
)
select
    month,
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
order by month
