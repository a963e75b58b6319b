-- question: Which actions were decided only after they had been executed?
-- grain:    one row per execution that needed approval, or may have, of an action with a decision other
--           than escalated
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
-- needs:    action.decided, action.executed
-- window:   actions
-- why:      a decision on what has already happened decides nothing. Actions that need no approval may
--           be judged later. Untestable: whether approval was needed is not known, or the decision was
--           recorded after the execution, so that only the source's clock puts it before.

with executions as (
    select
        x.seq,
        min(d.event_order) as first_order,
        count(*) filter (where d.event_order <= x.event_order and d.seq <= x.seq) as decided_in_time
    from approvals as x
    inner join decisions as d on d.action_id = x.action_id
    where d.decision <> 'escalated'
      and x.executed_at >= $period_start
      and x.executed_at < $period_end
      and (x.needs_approval or x.needs_approval is null)
    group by x.seq
),
judged as (
    select
        x.action_id,
        x.seq,
        x.executed_at,
        x.workflow,
        x.system,
        x.record_type,
        x.record_id,
        x.field,
        x.executed_by,
        d.decision,
        d.decided_at,
        d.event_order < x.event_order as is_recorded_late,
        case
            when e.decided_in_time > 0 then 'ok'
            when d.event_order > x.event_order and x.needs_approval then 'violation'
            else 'untestable'
        end as result
    from approvals as x
    inner join executions as e on e.seq = x.seq
    inner join decisions as d on d.action_id = x.action_id and d.event_order = e.first_order
)
select
    result,
    action_id,
    seq,
    executed_at as occurred_at,
    workflow,
    system,
    record_type,
    record_id,
    field,
    executed_by as actor,
    case
        when result = 'ok' then null
        when is_recorded_late then 'the decision was recorded after the execution'
        else concat(
            'first decided (', decision, ') at ', to_char(decided_at, '%Y-%m-%dT%H:%M:%SZ'),
            ', after the execution'
        )
    end as detail
from judged
order by seq
