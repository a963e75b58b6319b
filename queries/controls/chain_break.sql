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

with executions as (
    select
        b.event_order,
        x.old_value,
        row_number() over (partition by b.event_order order by x.event_order desc) as place
    from action_events as b
    inner join events as x on x.action_id = b.action_id
    where b.event_type = 'action.rolled_back'
      and x.event_type = 'action.executed'
      and x.environment = 'production'
      and x.outcome in ('succeeded', 'partial', 'unknown')
      and x.event_order < b.event_order
      and x.old_value is not null
),
restored as (
    select
        event_order,
        old_value
    from executions
    where place = 1
),
told as (
    select
        e.seq,
        e.event_order,
        e.occurred_at,
        e.event_type,
        e.action_id,
        e.outcome,
        e.old_value,
        e.new_value,
        case when e.event_type = 'record.corrected' then e.workflow else a.workflow end as workflow,
        case when e.event_type = 'record.corrected' then e.system else a.system end as system,
        case when e.event_type = 'record.corrected' then e.record_type else a.record_type end as record_type,
        case when e.event_type = 'record.corrected' then e.record_id else a.record_id end as record_id,
        case when e.event_type = 'record.corrected' then e.field else a.field end as field
    from actions as a
    right join events as e on e.action_id = a.action_id
    where e.environment = 'production'
      and (
          e.event_type = 'record.corrected'
          or (
              e.event_type in ('action.executed', 'action.rolled_back')
              and e.outcome in ('succeeded', 'partial', 'unknown')
          )
      )
),
writes as (
    select
        t.seq,
        t.event_order,
        t.occurred_at,
        t.action_id,
        t.workflow,
        t.system,
        t.record_type,
        t.record_id,
        t.field,
        t.old_value,
        case
            when t.event_type = 'record.corrected' then t.new_value
            when t.outcome <> 'succeeded' then null
            when t.event_type = 'action.rolled_back' then coalesce(t.new_value, r.old_value)
            else t.new_value
        end as new_value
    from restored as r
    right join told as t on t.event_order = r.event_order
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
