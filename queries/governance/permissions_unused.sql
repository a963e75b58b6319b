-- question: Which permissions are granted and were not used?
-- grain:    one row per permission or allowed field of the policy in force at the end of the period
--           that nothing used in the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  workflow         utf8       null, as the next five: the permission holds for any
--           permission_area  utf8
--           system           utf8
--           record_type      utf8
--           field            utf8
--           operation        utf8
--           level            int64      null for a field that a workflow may touch
--           last_used_at     timestamp  before the period; null when it never was
-- needs:    a policy
-- why:      what is not used is not needed, and can be taken away. An action uses a permission when it
--           is proposed or executed; reading uses an allowed field, or a permission of level 1;
--           reading a whole record uses no permission for a single field.

with uses as (
    select
        workflow,
        permission_area as area,
        system,
        record_type,
        field,
        operation,
        false as is_read,
        max(greatest(
            case when cohort_at < $period_end then cohort_at end,
            case when executed_at < $period_end then executed_at end,
            case when last_executed_at < $period_end then last_executed_at end
        )) as used_at
    from actions
    group by workflow, permission_area, system, record_type, field, operation
    union all
    -- Of many executions the last before the end may be neither the first nor the last of all.
    select
        a.workflow,
        a.permission_area as area,
        a.system,
        a.record_type,
        a.field,
        a.operation,
        false as is_read,
        max(e.occurred_at) as used_at
    from actions as a
    inner join action_events as e on e.action_id = a.action_id
    where a.attempts > 2
      and e.event_type = 'action.executed'
      and e.occurred_at < $period_end
    group by a.workflow, a.permission_area, a.system, a.record_type, a.field, a.operation
    union all
    select
        workflow,
        permission_area as area,
        system,
        record_type,
        field,
        coalesce(operation, 'read') as operation,
        true as is_read,
        max(occurred_at) as used_at
    from events
    where event_type = 'data.accessed'
      and environment = 'production'
      and occurred_at < $period_end
    group by workflow, permission_area, system, record_type, field, coalesce(operation, 'read')
    union all
    select
        workflow,
        area,
        input['system'] as system,
        input['record_type'] as record_type,
        input['field'] as field,
        'read' as operation,
        true as is_read,
        max(occurred_at) as used_at
    from (
        select workflow, permission_area as area, occurred_at, unnest(inputs) as input
        from events
        where inputs is not null
          and environment = 'production'
          and event_type not like 'evidence.%'
          and occurred_at < $period_end
    ) as inputs_read
    group by workflow, area, input['system'], input['record_type'], input['field']
),
grants as (
    select
        kind,
        position,
        workflow,
        area,
        system,
        record_type,
        field,
        operation,
        level
    from policy_rules
    where kind in ('permission', 'allowed_field')
      and effective_from < $period_end
      and effective_to >= $period_end
)
select
    g.workflow,
    g.area as permission_area,
    g.system,
    g.record_type,
    g.field,
    g.operation,
    g.level,
    max(u.used_at) as last_used_at
from grants as g
left join uses as u
    on (g.workflow is null or g.workflow = u.workflow)
    and (g.area is null or g.area = u.area)
    and (g.system is null or g.system = u.system)
    and (g.record_type is null or g.record_type = u.record_type)
    and (g.field is null or g.field = u.field)
    and (g.operation is null or g.operation = u.operation)
    and (not u.is_read or g.kind = 'allowed_field' or g.level = 1)
group by
    g.kind,
    g.position,
    g.workflow,
    g.area,
    g.system,
    g.record_type,
    g.field,
    g.operation,
    g.level
having coalesce(max(u.used_at) < $period_start, true)
order by g.kind desc, g.position
