-- question: Which exceptions were raised, where a person had to step in?
-- grain:    one row per workflow and reason
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  workflow     utf8
--           reason_code  utf8   null where none was given
--           records      int64  distinct records named
--           events       int64
-- needs:    exception.raised
-- why:      an exception is counted in the period in which it was raised: it has no cohort before it.

with raised as (
    select
        workflow,
        reason_code,
        record_id,
        count(*) as events
    from events
    where event_type = 'exception.raised'
      and environment = 'production'
      and occurred_at >= $period_start
      and occurred_at < $period_end
    group by workflow, reason_code, system, record_type, record_id
)
select
    workflow,
    reason_code,
    count(record_id) as records,
    sum(events) as events
from raised
group by workflow, reason_code
order by events desc, workflow, reason_code
