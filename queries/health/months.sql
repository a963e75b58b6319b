-- question: Which months does the evidence cover, and with what?
-- grain:    one row per UTC month in which something happened
-- params:   none
-- returns:  month      utf8   YYYY-MM
--           events     int64  events of sources, every environment
--           reviewed   int64  distinct records with a record.reviewed in the month
--           proposed   int64  action.proposed
--           decided    int64  action.decided
--           executed   int64  action.executed
--           corrected  int64  record.corrected
-- needs:    nothing
-- why:      the first question of somebody who wants a report; the engine's own events are left out.

select
    occurred_month as month,
    count(*) as events,
    count(distinct case
        when event_type = 'record.reviewed' then concat(system, '/', record_type, '/', record_id)
    end) as reviewed,
    count(*) filter (where event_type = 'action.proposed') as proposed,
    count(*) filter (where event_type = 'action.decided') as decided,
    count(*) filter (where event_type = 'action.executed') as executed,
    count(*) filter (where event_type = 'record.corrected') as corrected
from events
where event_type not like 'evidence.%'
group by occurred_month
order by occurred_month
