-- question: Where has somebody written past the log?
-- grain:    one row per execution, correction and roll-back of a cell that the log saw written before
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the write
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8
--           seq          int64      of the write that found another value
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       null: who wrote is what the log lacks
--           detail       utf8       what was found; null when ok
-- needs:    action.executed, record.corrected, action.rolled_back, old_value, new_value
-- why:      an old value that is not the new value of the write before shows a write that was not
--           logged. After a roll-back without a new value the old value of the execution before it is
--           back. Untestable: the old value was not captured (or erased since), or the write before
--           left it open: partial, unknown, no new value.

with restored as (
    select
        b.event_order,
        max(x.event_order) as execution_order
    from events as b
    inner join judged_actions as j on j.action_id = b.action_id and j.phase = 'execution'
    inner join events as x on x.event_order = j.event_order
    where b.event_type = 'action.rolled_back'
      and b.environment = 'production'
      and x.event_order < b.event_order
      and x.old_value is not null
    group by b.event_order
),
writes as (
    select
        e.seq,
        e.event_order,
        e.occurred_at,
        e.action_id,
        case when e.event_type = 'record.corrected' then e.workflow else a.workflow end as workflow,
        case when e.event_type = 'record.corrected' then e.system else a.system end as system,
        case when e.event_type = 'record.corrected' then e.record_type else a.record_type end as record_type,
        case when e.event_type = 'record.corrected' then e.record_id else a.record_id end as record_id,
        case when e.event_type = 'record.corrected' then e.field else a.field end as field,
        e.old_value,
        case
            when e.event_type = 'record.corrected' then e.new_value
            when e.outcome <> 'succeeded' then null
            when e.event_type = 'action.rolled_back'
                then coalesce(e.new_value, x.old_value)
            else e.new_value
        end as new_value
    from events as e
    left join actions as a on a.action_id = e.action_id
    left join restored as r on r.event_order = e.event_order
    left join events as x on x.event_order = r.execution_order
    where e.environment = 'production'
      and (
          e.event_type = 'record.corrected'
          or (
              e.event_type in ('action.executed', 'action.rolled_back')
              and e.outcome in ('succeeded', 'partial', 'unknown')
          )
      )
),
chained as (
    select
        *,
        lag(seq) over (
            partition by system, record_type, record_id, field order by event_order
        ) as previous_seq,
        lag(new_value) over (
            partition by system, record_type, record_id, field order by event_order
        ) as previous_value
    from writes
    where system is not null
      and record_type is not null
      and record_id is not null
      and field is not null
)
select
    case
        when old_value is null or previous_value is null then 'untestable'
        when old_value <> previous_value then 'violation'
        else 'ok'
    end as result,
    action_id,
    seq,
    occurred_at,
    workflow,
    system,
    record_type,
    record_id,
    field,
    cast(null as varchar) as actor,
    case
        when old_value is null then 'the value before this write was not captured'
        when previous_value is null then concat('event ', previous_seq, ' left the value open')
        when old_value <> previous_value then concat(
            'the value before this write is not the one that event ', previous_seq, ' left'
        )
    end as detail
from chained
where previous_seq is not null
  and occurred_at >= $period_start
  and occurred_at < $period_end
order by seq
