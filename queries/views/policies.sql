-- question: Which policy was in force when?
-- grain:    one row per policy and the time it held; the intervals touch and do not overlap
-- params:   none
-- returns:  version         utf8
--           effective_from  timestamp  from here on; key of the view
--           effective_to    timestamp  up to here, exclusive; the last one's is the year 9999
--           applied_at      timestamp  null for the built-in default
--           applied_by      utf8
--           is_default      boolean    the built-in default: nobody applied a policy for this time
--           document        utf8       sealed; the text as applied
-- needs:    config.changed
-- why:      a policy may be applied later than it takes effect; one that does not say since when holds
--           from then on. At the same effective_from the one applied later wins; a text that is no
--           policy changes nothing. Only the engine's own events count, or whoever may send events
--           could change what they are judged by.

with applied as (
    select
        coalesce(policy_version, event_id) as version,
        case
            when parse_policy(new_value) is not null
                then coalesce(policy_effective_from(new_value), occurred_at)
        end as effective_from,
        occurred_at as applied_at,
        actor_id as applied_by,
        false as is_default,
        new_value as document,
        event_order
    from events
    where event_type = 'config.changed'
      and field = 'policy'
      and source = 'probity'
    union all
    select
        'built-in',
        arrow_cast('0001-01-01T00:00:00Z', 'Timestamp(Microsecond, Some("UTC"))'),
        null,
        null,
        true,
        default_policy(),
        0
),
intervals as (
    select
        version,
        effective_from,
        lead(
            effective_from,
            1,
            arrow_cast('9999-12-31T23:59:59.999999Z', 'Timestamp(Microsecond, Some("UTC"))')
        ) over (order by effective_from, is_default desc, event_order) as effective_to,
        applied_at,
        applied_by,
        is_default,
        document
    from applied
    where effective_from is not null
)
select
    version,
    effective_from,
    effective_to,
    applied_at,
    applied_by,
    is_default,
    document
from intervals
where effective_from < effective_to
