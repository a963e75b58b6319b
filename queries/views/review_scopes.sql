-- question: In which results does an examination of a record take part?
-- grain:    one row per record.reviewed of production and grain that it has a key for
-- params:   none
-- returns:  grain        utf8           period, workflow, batch, segment, rule_version, prompt_version
--                                       or model_version
--           key          utf8           null for the period, else the value of that attribute
--           event_order  decimal(38,0)
--           reviewed_at  timestamp
--           batch_id     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
-- needs:    record.reviewed
-- why:      a record in two batches counts in each, and once in the period: a metric takes the first
--           review of each (grain, key, record). An attribute that the event does not give makes no row.

with keyed as (
    select
        r.*,
        g.grain,
        case g.grain
            when 'workflow' then r.workflow
            when 'batch' then r.batch_id
            when 'segment' then r.segment
            when 'rule_version' then r.rule_version
            when 'prompt_version' then r.prompt_version
            when 'model_version' then r.model_version
        end as key
    from reviewed as r
    cross join (
        values
            ('period'), ('workflow'), ('batch'), ('segment'), ('rule_version'), ('prompt_version'),
            ('model_version')
    ) as g (grain)
)
select
    grain,
    key,
    event_order,
    reviewed_at,
    batch_id,
    system,
    record_type,
    record_id
from keyed
where grain in ('period', 'workflow') or key is not null
