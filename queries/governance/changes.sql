-- question: What was changed in the configuration, when, and by whom?
-- grain:    one row per config.changed of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  seq           int64
--           occurred_at   timestamp
--           applied_by    utf8       null when nobody was named
--           kind          utf8       what was changed: policy, prompt_version, ...
--           workflow      utf8       null for all
--           from_version  utf8       of a policy its version, else the old value
--           to_version    utf8
--           recorded_at   timestamp  much later than occurred_at: reported afterwards
-- needs:    config.changed
-- why:      a policy is a whole document, and its version is what people call it by; the document is
--           in the evidence.

with configurations as (
    select
        seq,
        event_order,
        occurred_at,
        actor_id as applied_by,
        field as kind,
        workflow,
        case
            when field = 'policy' then lag(policy_version) over (partition by field order by event_order)
            else old_value
        end as from_version,
        case when field = 'policy' then policy_version else new_value end as to_version,
        recorded_at
    from events
    where event_type = 'config.changed'
      and environment = 'production'
)
select
    seq,
    occurred_at,
    applied_by,
    kind,
    workflow,
    from_version,
    to_version,
    recorded_at
from configurations
where occurred_at >= $period_start
  and occurred_at < $period_end
order by event_order
