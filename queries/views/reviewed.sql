-- question: Which records were examined, and when?
-- grain:    one row per record.reviewed of production
-- params:   none
-- returns:  seq             int64
--           event_order     decimal(38,0)
--           reviewed_at     timestamp
--           workflow        utf8
--           batch_id        utf8
--           system          utf8
--           record_type     utf8
--           record_id       utf8
--           segment         utf8           as given on this event, as the next three
--           rule_version    utf8
--           prompt_version  utf8
--           model_version   utf8
-- needs:    record.reviewed
-- why:      the denominator of the headline; a record examined twice is two rows here and one in R.

select
    seq,
    event_order,
    occurred_at as reviewed_at,
    workflow,
    batch_id,
    system,
    record_type,
    record_id,
    segment,
    rule_version,
    prompt_version,
    model_version
from events
where event_type = 'record.reviewed'
  and environment = 'production'
