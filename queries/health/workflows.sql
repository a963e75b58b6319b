-- question: Which workflows are at work, and which of them stand still?
-- grain:    one row per workflow with an event in production
-- params:   none
-- returns:  workflow   utf8
--           events     int64      without those about the evidence itself
--           last_at    timestamp  when the newest of them happened
--           is_paused  boolean    the last signal, to it or to all workflows, is a pause
--           signal_at  timestamp  of that signal; null when there was none
-- needs:    workflow.paused, workflow.resumed
-- why:      a pause without a workflow stops all of them, and so does its end.
with signals as (
    select
        workflow,
        event_type,
        occurred_at,
        event_order
    from events
    where event_type in ('workflow.paused', 'workflow.resumed')
      and environment = 'production'
),
works as (
    select
        workflow,
        count(*) as events,
        max(occurred_at) as last_at
    from events
    where environment = 'production'
      and workflow is not null
      and event_type not like 'evidence.%'
    group by workflow
),
last_signals as (
    select
        w.workflow,
        last_value(s.event_type order by s.event_order) as event_type,
        last_value(s.occurred_at order by s.event_order) as signal_at
    from works as w
    inner join signals as s on s.workflow = w.workflow or s.workflow is null
    group by w.workflow
)
select
    w.workflow,
    w.events,
    w.last_at,
    coalesce(l.event_type = 'workflow.paused', false) as is_paused,
    l.signal_at
from works as w
left join last_signals as l on l.workflow = w.workflow
order by w.last_at desc, w.workflow
