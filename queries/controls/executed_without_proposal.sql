-- question: Which actions were executed without having been proposed?
-- grain:    one row per execution
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
-- needs:    action.proposed, action.executed
-- window:   actions
-- why:      a proposal after the execution is none. A source that only has finished rows sends one
--           action.executed that holds the proposal too: such a row, when it gives a reason, a
--           confidence or a decision, is the proposal of itself and of what follows. Nothing is
--           untestable: that the proposal is missing is the violation.

with proposals as (
    select
        action_id,
        min(event_order) as first_order
    from action_events
    where event_type = 'action.proposed'
       or (
           event_type = 'action.executed'
           and (reason_code is not null or confidence is not null or decision is not null)
       )
    group by action_id
)
select
    case when p.first_order <= x.event_order then 'ok' else 'violation' end as result,
    x.action_id,
    x.seq,
    x.occurred_at,
    x.workflow,
    x.system,
    x.record_type,
    x.record_id,
    x.field,
    x.actor_id as actor,
    case
        when p.first_order is null then 'no action.proposed, and the execution does not hold the proposal'
        when p.first_order > x.event_order then 'proposed after the execution'
    end as detail
from judged_actions as x
left join proposals as p on p.action_id = x.action_id
where x.phase = 'execution'
  and x.occurred_at >= $period_start
  and x.occurred_at < $period_end
order by x.seq
