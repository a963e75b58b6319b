-- question: What was changed in the configuration, when, and by whom?
-- grain:    one row per config.changed that was made, or took effect, in the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  seq           int64
--           occurred_at   timestamp  when it was made; of a policy, applied
--           effective_at  timestamp  of a policy that was in force its effective_from, else occurred_at
--           applied_by    utf8       null when nobody was named
--           kind          utf8       what was changed: policy, prompt_version, ...
--           workflow      utf8       null for all
--           from_version  utf8       sealed; of a policy its version, else the old value
--           to_version    utf8       sealed
--           recorded_at   timestamp  much later than occurred_at: reported afterwards
-- needs:    config.changed
-- why:      a policy is a whole document, and its version is what people call it by; the document is
--           in the evidence. One that is applied ahead or backwards is listed with the period of its
--           application, where somebody decided it, and with that of its effect, where it judges.

with configurations as (
    select
        e.seq,
        e.event_order,
        e.occurred_at,
        coalesce(p.effective_from, e.occurred_at) as effective_at,
        e.actor_id as applied_by,
        e.field as kind,
        e.workflow,
        case
            when e.field = 'policy'
                then lag(e.policy_version) over (partition by e.field order by e.event_order)
            else e.old_value
        end as from_version,
        case when e.field = 'policy' then e.policy_version else e.new_value end as to_version,
        e.recorded_at
    from events as e
    left join policies as p
        on p.applied_at = e.occurred_at
        and p.document = e.new_value
        and p.version = coalesce(e.policy_version, e.event_id)
        and e.field = 'policy'
        and e.source = 'probity'
    where e.event_type = 'config.changed'
      and e.environment = 'production'
)
select
    seq,
    occurred_at,
    effective_at,
    applied_by,
    kind,
    workflow,
    from_version,
    to_version,
    recorded_at
from configurations
where (occurred_at >= $period_start and occurred_at < $period_end)
   or (effective_at >= $period_start and effective_at < $period_end)
order by event_order
