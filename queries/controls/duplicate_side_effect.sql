-- question: Which actions took effect twice?
-- grain:    one row per execution with outcome succeeded
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
-- needs:    action.executed, action.rolled_back
-- window:   actions
-- why:      two successes of one action are two messages sent or two changes made. After a roll-back
--           that succeeded the first effect is undone and a new success is not a second one. Nothing is
--           untestable.

with successes as (
    select
        seq,
        event_order,
        action_id
    from judged_actions
    where phase = 'execution'
      and outcome = 'succeeded'
),
repeated as (
    select action_id
    from successes
    group by action_id
    having count(*) > 1
),
-- Few actions succeed twice: only theirs are put in order.
followed as (
    select
        s.seq,
        s.event_order,
        s.action_id,
        lag(s.event_order) over (partition by s.action_id order by s.event_order) as previous_order,
        lag(s.seq) over (partition by s.action_id order by s.event_order) as previous_seq
    from repeated as r
    inner join successes as s on s.action_id = r.action_id
),
undone as (
    select distinct f.seq
    from followed as f
    inner join action_events as b
        on b.action_id = f.action_id
        and b.event_order > f.previous_order
        and b.event_order < f.event_order
    where b.event_type = 'action.rolled_back'
      and b.outcome = 'succeeded'
)
select
    case when f.previous_order is not null and u.seq is null then 'violation' else 'ok' end as result,
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
        when f.previous_order is not null and u.seq is null
            then concat('succeeded already in event ', f.previous_seq)
    end as detail
from judged_actions as x
left join followed as f on f.seq = x.seq
left join undone as u on u.seq = x.seq
where x.phase = 'execution'
  and x.outcome = 'succeeded'
  and x.occurred_at >= $period_start
  and x.occurred_at < $period_end
order by x.seq
