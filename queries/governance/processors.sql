-- question: Which vendors processed data, in which regions, and does the policy know them?
-- grain:    one row per processor, region and workflow with an event in the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  processor     utf8
--           region        utf8
--           workflow      utf8
--           events        int64
--           is_in_policy  boolean  the policy at each event allows the processor in that region
-- needs:    processor, region
-- why:      one event outside the policy makes the row false; a region that was not recorded is in
--           the policy only if the processor is allowed everywhere.

with uses as (
    select
        e.processor,
        e.region,
        e.workflow,
        p.effective_from,
        count(*) as events
    from events as e
    left join policies as p on p.effective_from <= e.occurred_at and p.effective_to > e.occurred_at
    where e.environment = 'production'
      and e.event_type not like 'evidence.%'
      and (e.processor is not null or e.region is not null)
      and e.occurred_at >= $period_start
      and e.occurred_at < $period_end
    group by e.processor, e.region, e.workflow, p.effective_from
),
judged as (
    select
        u.processor,
        u.region,
        u.workflow,
        u.effective_from,
        u.events,
        count(r.name) > 0 as is_in_policy
    from uses as u
    left join policy_rules as r
        on r.kind = 'processor'
        and r.effective_from = u.effective_from
        and r.name = u.processor
        and (r.words is null or r.words = u.region)
    group by u.processor, u.region, u.workflow, u.effective_from, u.events
)
select
    processor,
    region,
    workflow,
    sum(events) as events,
    bool_and(is_in_policy) as is_in_policy
from judged
group by processor, region, workflow
order by processor, region, workflow
