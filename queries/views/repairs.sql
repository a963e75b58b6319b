-- question: Which values of records did somebody put right?
-- grain:    one row per production record.corrected that changed something
-- params:   none
-- returns:  seq          int64
--           event_order  decimal(38,0)
--           repaired_at  timestamp
--           kind         utf8
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           new_value    utf8  sealed
--           actor_kind   utf8
--           actor_id     utf8
-- needs:    record.corrected
-- why:      a correction whose captured old and new value are equal counts nowhere.

select
    seq,
    event_order,
    occurred_at as repaired_at,
    correction as kind,
    workflow,
    system,
    record_type,
    record_id,
    field,
    new_value,
    actor_kind,
    actor_id
from events
where event_type = 'record.corrected'
  and environment = 'production'
  and (old_value is null or new_value is null or old_value <> new_value)
