-- question: Which routing exceptions did somebody repair in the system of record?
-- grain:    one row per record.corrected of production, of the five kinds
-- params:   none
-- returns:  seq            int64
--           event_order    decimal(38,0)
--           corrected_at   timestamp
--           kind           utf8           routing, owner, lifecycle, duplicate or required_field
--           workflow       utf8
--           system         utf8
--           record_type    utf8
--           record_id      utf8
--           field          utf8
--           actor_kind     utf8
--           actor_id       utf8
-- needs:    record.corrected
-- why:      a correction whose captured old and new value are equal repaired nothing; one whose values
--           were not captured counts.

select
    seq,
    event_order,
    repaired_at as corrected_at,
    kind,
    workflow,
    system,
    record_type,
    record_id,
    field,
    actor_kind,
    actor_id
from repairs
where kind in ('routing', 'owner', 'lifecycle', 'duplicate', 'required_field')
