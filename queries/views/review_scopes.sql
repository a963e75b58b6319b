-- question: In which results does an examination of a record take part?
-- grain:    one row per record.reviewed of production and grain: the period, its workflow, its batch
-- params:   none
-- returns:  grain        utf8           period, workflow or batch
--           key          utf8           null for the period, else workflow or batch_id
--           event_order  decimal(38,0)
--           reviewed_at  timestamp
--           batch_id     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
-- needs:    record.reviewed
-- why:      a record in two batches counts in each, and once in the period: a metric takes the first
--           review of each (grain, key, record).

select
    g.grain,
    case g.grain when 'workflow' then r.workflow when 'batch' then r.batch_id end as key,
    r.event_order,
    r.reviewed_at,
    r.batch_id,
    r.system,
    r.record_type,
    r.record_id
from reviewed as r
cross join (values ('period'), ('workflow'), ('batch')) as g (grain)
where g.grain <> 'batch' or r.batch_id is not null
