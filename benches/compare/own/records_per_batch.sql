-- question: How many records does each batch touch?
-- params:   none
-- returns:  as selected
-- needs:    evidence

select
    batch_id,
    count(distinct record_id) as records,
    count(distinct action_id) as actions
from events
where batch_id is not null
group by batch_id
order by batch_id
