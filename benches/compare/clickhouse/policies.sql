-- The policies in force, with the parsed documents joined to them: what a text says cannot be computed here.
-- Same rows and columns as queries/views/policies.sql.

with applied as (
    select
        coalesce(e.policy_version, e.event_id) as version,
        coalesce(p.effective_from, e.occurred_at) as effective_from,
        e.occurred_at as applied_at,
        e.actor_id as applied_by,
        false as is_default,
        e.new_value as document,
        e.event_order as event_order
    from (
        select policy_version, event_id, occurred_at, actor_id, new_value, event_order
        from events
        where event_type = 'config.changed'
          and field = 'policy'
          and source = 'probity'
    ) as e
    inner join parsed_policies as p on p.document = e.new_value
    union all
    select
        'built-in', toDateTime64('0001-01-01 00:00:00', 6, 'UTC'), null, null, true, document, toInt128(0)
    from parsed_policies
    where is_default
),
intervals as (
    select
        version,
        effective_from,
        lead(effective_from, 1, toNullable(toDateTime64('9999-12-31 23:59:59.999999', 6, 'UTC'))) over (
            order by effective_from, is_default desc, event_order
        ) as effective_to,
        applied_at,
        applied_by,
        is_default,
        document
    from applied
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
