-- question: Which sources have lost events on the way?
-- grain:    one row per unbroken run of a source's numbers, and per source without numbers
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the first event of the run
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8       of that event
--           seq          int64      of the first event of the run
--           occurred_at  timestamp  of that event
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       the source
--           detail       utf8       what was found; null when ok
-- needs:    source_seq
-- why:      every run but a source's first begins behind a gap: events that never arrived, or were
--           refused (see the quarantine). Numbers count in every environment. What the engine writes
--           itself (source `probity`) is numbered by seq. Untestable: a source that numbers none of
--           its events.

with unnumbered as (
    select
        source,
        min(event_order) as first_order
    from events
    where source <> 'probity'
      and event_type not like 'evidence.%'
    group by source
    having count(source_seq) = 0
)
select
    case when r.previous_number is null then 'ok' else 'violation' end as result,
    e.action_id,
    e.seq,
    e.occurred_at,
    e.workflow,
    cast(null as varchar) as system,
    cast(null as varchar) as record_type,
    cast(null as varchar) as record_id,
    cast(null as varchar) as field,
    r.source as actor,
    case
        when r.first_number - r.previous_number = 2 then concat('number ', r.previous_number + 1, ' is missing')
        when r.previous_number is not null
            then concat('numbers ', r.previous_number + 1, ' to ', r.first_number - 1, ' are missing')
    end as detail
from source_runs as r
inner join events as e on e.seq = r.seq
where e.occurred_at >= $period_start
  and e.occurred_at < $period_end
union all
select
    'untestable' as result,
    e.action_id,
    e.seq,
    e.occurred_at,
    e.workflow,
    cast(null as varchar) as system,
    cast(null as varchar) as record_type,
    cast(null as varchar) as record_id,
    cast(null as varchar) as field,
    e.source as actor,
    'none of its events has a source_seq' as detail
from unnumbered as u
inner join events as e on e.event_order = u.first_order
where e.occurred_at >= $period_start
  and e.occurred_at < $period_end
order by seq
