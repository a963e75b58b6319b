-- question: What happened in one batch?
-- params:   batch_id  utf8
-- returns:  as selected
-- needs:    evidence

select
    event_id,
    event_type,
    occurred_at,
    workflow,
    action_id,
    record_id,
    outcome,
    seq
from events
where batch_id = $batch_id
order by occurred_at, seq
