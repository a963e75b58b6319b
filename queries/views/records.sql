-- question: What does the evidence know about each record?
-- grain:    one row per record with a production event
-- params:   none
-- returns:  system            utf8
--           record_type       utf8
--           record_id         utf8
--           first_seen_at     timestamp
--           last_event_at     timestamp
--           events            int64
--           reviews           int64      record.reviewed
--           last_reviewed_at  timestamp
--           proposals         int64      action.proposed
--           actions           int64      distinct actions that name it
--           executed          int64      distinct actions executed: succeeded, partial or unknown
--           last_executed_at  timestamp  of those
--           corrections       int64      record.corrected that changed a value, of any kind
--           last_corrected_at timestamp  of those
--           exceptions        int64      exception.raised
-- needs:    any event that names a record
-- why:      a page about one record starts here; rates never do.

select
    system,
    record_type,
    record_id,
    min(occurred_at) as first_seen_at,
    max(occurred_at) as last_event_at,
    count(*) as events,
    count(*) filter (where event_type = 'record.reviewed') as reviews,
    max(occurred_at) filter (where event_type = 'record.reviewed') as last_reviewed_at,
    count(*) filter (where event_type = 'action.proposed') as proposals,
    count(distinct action_id) as actions,
    count(distinct case
        when event_type = 'action.executed' and outcome in ('succeeded', 'partial', 'unknown')
            then action_id
    end) as executed,
    max(occurred_at) filter (
        where event_type = 'action.executed' and outcome in ('succeeded', 'partial', 'unknown')
    ) as last_executed_at,
    count(*) filter (
        where event_type = 'record.corrected'
          and (old_value is null or new_value is null or old_value <> new_value)
    ) as corrections,
    max(occurred_at) filter (
        where event_type = 'record.corrected'
          and (old_value is null or new_value is null or old_value <> new_value)
    ) as last_corrected_at,
    count(*) filter (where event_type = 'exception.raised') as exceptions
from events
where environment = 'production'
  and event_type not like 'evidence.%'
  and system is not null
  and record_type is not null
  and record_id is not null
group by system, record_type, record_id
