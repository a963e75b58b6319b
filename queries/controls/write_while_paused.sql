-- question: What was written while the workflow was paused?
-- grain:    one row per execution after a pause of its workflow, resumed since or not
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the execution
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8
--           seq          int64      of the execution
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       who executed
--           detail       utf8       what was found; null when ok
-- needs:    workflow.paused, workflow.resumed, action.executed
-- window:   actions
-- why:      an execution is a change, a message or an external act: all of it stops with the pause. A
--           pause that names no workflow stops every one. Roll-backs go on. Workflows that were never
--           paused leave nothing to test, and nothing is untestable.

with signals as (
    select
        event_type,
        event_order,
        occurred_at,
        workflow
    from events
    where event_type in ('workflow.paused', 'workflow.resumed')
      and environment = 'production'
),
executions as (
    select
        x.seq,
        max(s.event_order) as signal_order
    from judged_actions as x
    inner join signals as s
        on (s.workflow = x.workflow or s.workflow is null)
        and s.event_order < x.event_order
    where x.phase = 'execution'
      and x.occurred_at >= $period_start
      and x.occurred_at < $period_end
    group by x.seq
    having bool_or(s.event_type = 'workflow.paused')
)
select
    case s.event_type when 'workflow.paused' then 'violation' else 'ok' end as result,
    x.action_id,
    x.seq,
    x.occurred_at,
    x.workflow,
    x.system,
    x.record_type,
    x.record_id,
    x.field,
    x.actor_id as actor,
    case s.event_type
        when 'workflow.paused'
            then concat('paused since ', to_char(s.occurred_at, '%Y-%m-%dT%H:%M:%SZ'))
    end as detail
from judged_actions as x
inner join executions as e on e.seq = x.seq
inner join signals as s on s.event_order = e.signal_order
where x.phase = 'execution'
order by x.seq
