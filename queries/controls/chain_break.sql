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

with writes as (
    select
        seq,
        event_order,
        occurred_at,
        action_id,
        workflow,
        system,
        record_type,
        record_id,
        field,
        old_value,
        new_value
    from action_writes
    union all
    select
        seq,
        event_order,
        occurred_at,
        action_id,
        workflow,
        system,
        record_type,
        record_id,
        field,
        old_value,
        new_value
    from events
    where event_type = 'record.corrected'
      and environment = 'production'
),
cells as (
    select
        system,
        record_type,
        record_id,
        field
    from writes
    where occurred_at >= $period_start
      and occurred_at < $period_end
    group by system, record_type, record_id, field
),
chained as (
    select
        w.*,
        lag(w.seq) over (
            partition by w.system, w.record_type, w.record_id, w.field order by w.event_order
        ) as previous_seq,
        lag(w.new_value) over (
            partition by w.system, w.record_type, w.record_id, w.field order by w.event_order
        ) as previous_value
    from writes as w
    inner join cells as c
        on c.system = w.system
        and c.record_type = w.record_type
        and c.record_id = w.record_id
        and c.field = w.field
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
