-- question: How many events of each type does each workflow have a week?
-- params:   none
-- returns:  as selected
-- needs:    evidence

select
    to_char(date_trunc('week', occurred_at), '%Y-%m-%d') as week_start,
    workflow,
    event_type,
    count(*) as events
from events
group by to_char(date_trunc('week', occurred_at), '%Y-%m-%d'), workflow, event_type
order by week_start, workflow, event_type
