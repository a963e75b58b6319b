-- question: Which facts make a record a routing exception?
-- grain:    one row per correction, and per succeeded execution of an approved action not rolled back
-- params:   none
-- returns:  event_order   decimal(38,0)
--           occurred_at   timestamp
--           kind          utf8           routing, owner, lifecycle, duplicate or required_field
--           system        utf8
--           record_type   utf8
--           record_id     utf8
-- needs:    record.corrected, action.decided, action.executed, action.rolled_back
-- why:      the one definition of the headline's numerator; a metric adds `after the review` and
--           `within maturity`. Approved but never applied does not count: the record is still wrong.

select
    event_order,
    corrected_at as occurred_at,
    kind,
    system,
    record_type,
    record_id
from corrections
union all
select
    event_order,
    executed_at as occurred_at,
    kind,
    system,
    record_type,
    record_id
from approved_executions
where outcome = 'succeeded'
  and kind is not null
  and not any_rolled_back
