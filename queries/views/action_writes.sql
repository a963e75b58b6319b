-- question: What have actions written, and what did each write find and leave?
-- grain:    one row per execution and roll-back with outcome succeeded, partial or unknown
-- params:   none
-- returns:  action_id    utf8
--           seq          int64
--           event_order  decimal(38,0)
--           occurred_at  timestamp
--           workflow     utf8           of the action, as the next four
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           old_value    utf8           sealed; what the write found; null: not captured, or erased since
--           new_value    utf8           sealed; what it left; null: open, or erased since
-- needs:    action.executed, action.rolled_back, old_value, new_value
-- why:      a partial or unknown write leaves the value open. A roll-back that does not say what it left
--           restores what the execution before it had found.

with writes as (
    select
        action_id,
        seq,
        event_order,
        occurred_at,
        event_type,
        outcome,
        old_value,
        new_value
    from action_events
    where event_type in ('action.executed', 'action.rolled_back')
      and outcome in ('succeeded', 'partial', 'unknown')
),
restored as (
    select
        b.event_order,
        first_value(x.old_value order by x.event_order desc) as old_value
    from writes as b
    inner join writes as x
        on x.action_id = b.action_id
        and x.event_order < b.event_order
        and x.event_type = 'action.executed'
        and x.old_value is not null
    where b.event_type = 'action.rolled_back'
    group by b.event_order
)
select
    w.action_id,
    w.seq,
    w.event_order,
    w.occurred_at,
    a.workflow,
    a.system,
    a.record_type,
    a.record_id,
    a.field,
    w.old_value,
    case
        when w.outcome <> 'succeeded' then null
        when w.event_type = 'action.rolled_back' then coalesce(w.new_value, r.old_value)
        else w.new_value
    end as new_value
from writes as w
inner join actions as a on a.action_id = w.action_id
left join restored as r on r.event_order = w.event_order
