-- question: How far back does the log reach, and is that as long as the policy asks?
-- grain:    one row, also for an empty store
-- params:   as_of          timestamp
-- returns:  earliest_at            timestamp  of events of sources, every environment
--           latest_at              timestamp
--           events                 int64
--           retention_months       float64    that the policy at as_of asks for; null when it is silent
--           months_held            float64    from earliest_at to as_of, a month being 365.25 / 12 days
--           months_without_events  int64      UTC months between the first and the last that hold none
--           retired                int64      evidence.retired: old months taken out by retention
--           erased                 int64      evidence.erased
--           holds                  int64      evidence.held less evidence.released
-- needs:    nothing
-- why:      a young log cannot hold what never happened: months_held below retention_months with
--           retired = 0 means only that the log began later.

with facts as (
    select
        min(occurred_at) filter (where event_type not like 'evidence.%') as earliest_at,
        max(occurred_at) filter (where event_type not like 'evidence.%') as latest_at,
        count(*) filter (where event_type not like 'evidence.%') as events,
        count(distinct occurred_month) filter (where event_type not like 'evidence.%') as months,
        count(*) filter (where event_type = 'evidence.retired') as retired,
        count(*) filter (where event_type = 'evidence.erased') as erased,
        count(*) filter (where event_type = 'evidence.held')
            - count(*) filter (where event_type = 'evidence.released') as holds
    from events
),
settings as (
    select max(number) as retention_months
    from policy_rules
    where kind = 'setting'
      and name = 'retention_months'
      and effective_from <= $as_of
      and effective_to > $as_of
)
select
    f.earliest_at,
    f.latest_at,
    f.events,
    s.retention_months,
    (cast($as_of as bigint) - cast(f.earliest_at as bigint)) / 2629800000000.0 as months_held,
    cast(
        (date_part('year', f.latest_at) - date_part('year', f.earliest_at)) * 12
            + date_part('month', f.latest_at) - date_part('month', f.earliest_at) + 1
        as bigint
    ) - f.months as months_without_events,
    f.retired,
    f.erased,
    f.holds
from facts as f
cross join settings as s
order by f.events
