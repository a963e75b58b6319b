-- question: Which data did each workflow read and write, and did the policy let it?
-- grain:    one row per workflow, system, record type and field touched in the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  workflow       utf8
--           system         utf8
--           record_type    utf8
--           field          utf8     null for the whole record
--           reads          int64    distinct records: data.accessed, and inputs of any event
--           reads_denied   int64    distinct records: data.accessed with outcome denied
--           writes         int64    distinct actions: executed succeeded, partial or unknown
--           writes_denied  int64    distinct actions: denied, or blocked by the policy before
--           is_blocked     boolean  the policy at some of these events blocks it for the workflow
--           is_allowed     boolean  at all of them it is not blocked, and listed where fields are listed
-- needs:    data.accessed, inputs, action.executed
-- window:   actions
-- why:      counted and judged as the metric `exposure` does, by the policy in force at the time of each
--           event: a whole record holds every blocked field in it, and may be touched only where no
--           fields are listed, or all of it is. A read is granted unless denied.

with reads as (
    select
        occurred_at,
        workflow,
        system,
        record_type,
        record_id,
        field,
        outcome
    from events
    where event_type = 'data.accessed'
      and environment = 'production'
      and system is not null
      and occurred_at >= $period_start
      and occurred_at < $period_end
    union all
    select
        occurred_at,
        workflow,
        input['system'] as system,
        input['record_type'] as record_type,
        input['record_id'] as record_id,
        input['field'] as field,
        case when event_type = 'data.accessed' then outcome end as outcome
    from (
        select
            occurred_at,
            workflow,
            event_type,
            outcome,
            unnest(inputs) as input
        from events
        where environment = 'production'
          and event_type not like 'evidence.%'
          and occurred_at >= $period_start
          and occurred_at < $period_end
    ) as events_with_inputs
),
accesses as (
    select
        occurred_at,
        workflow,
        system,
        record_type,
        field,
        case when outcome = 'denied' then 'read_denied' else 'read' end as access,
        record_id as item
    from reads
    union all
    select
        e.occurred_at,
        coalesce(e.workflow, a.workflow) as workflow,
        coalesce(e.system, a.system) as system,
        coalesce(e.record_type, a.record_type) as record_type,
        coalesce(e.field, a.field) as field,
        case
            when e.event_type = 'action.executed' and e.outcome in ('succeeded', 'partial', 'unknown')
                then 'write'
            else 'write_denied'
        end as access,
        e.action_id as item
    from events as e
    inner join actions as a on a.action_id = e.action_id
    where e.environment = 'production'
      and e.event_type like 'action.%'
      and (
            e.policy_outcome = 'blocked'
            or (
                e.event_type = 'action.executed'
                and e.outcome in ('succeeded', 'partial', 'unknown', 'denied')
            )
        )
      and e.occurred_at >= $period_start
      and e.occurred_at < $period_end
),
items as (
    select
        workflow,
        system,
        record_type,
        field,
        access,
        item
    from accesses
    group by workflow, system, record_type, field, access, item
),
counts as (
    select
        workflow,
        system,
        record_type,
        field,
        count(*) filter (where access = 'read') as reads,
        count(*) filter (where access = 'read_denied') as reads_denied,
        count(*) filter (where access = 'write') as writes,
        count(*) filter (where access = 'write_denied') as writes_denied
    from items
    group by workflow, system, record_type, field
),
uses as (
    select
        a.workflow,
        a.system,
        a.record_type,
        a.field,
        p.effective_from
    from accesses as a
    left join policies as p on p.effective_from <= a.occurred_at and p.effective_to > a.occurred_at
    group by a.workflow, a.system, a.record_type, a.field, p.effective_from
),
rules as (
    select
        kind,
        workflow,
        system,
        record_type,
        field,
        effective_from
    from policy_rules
    where kind in ('allowed_field', 'blocked_field')
),
judged as (
    select
        u.workflow,
        u.system,
        u.record_type,
        u.field,
        u.effective_from,
        count(*) filter (where r.kind = 'allowed_field') as listed,
        count(*) filter (
            where r.kind = 'allowed_field'
              and (r.system is null or r.system = u.system)
              and (r.record_type is null or r.record_type = u.record_type)
              and (r.field is null or r.field = u.field)
        ) as allowed,
        count(*) filter (
            where r.kind = 'blocked_field'
              and (r.system is null or r.system = u.system)
              and (r.record_type is null or r.record_type = u.record_type)
              and (r.field is null or u.field is null or r.field = u.field)
        ) as blocked
    from uses as u
    left join rules as r
        on r.effective_from = u.effective_from
        and (r.workflow is null or r.workflow = u.workflow)
    group by u.workflow, u.system, u.record_type, u.field, u.effective_from
)
select
    c.workflow,
    c.system,
    c.record_type,
    c.field,
    c.reads,
    c.reads_denied,
    c.writes,
    c.writes_denied,
    bool_or(j.blocked > 0) as is_blocked,
    bool_and(j.blocked = 0 and (j.listed = 0 or j.allowed > 0)) as is_allowed
from counts as c
inner join judged as j
    on (j.workflow is not distinct from c.workflow)
    and (j.system is not distinct from c.system)
    and (j.record_type is not distinct from c.record_type)
    and (j.field is not distinct from c.field)
group by
    c.workflow,
    c.system,
    c.record_type,
    c.field,
    c.reads,
    c.reads_denied,
    c.writes,
    c.writes_denied
order by c.workflow, c.system, c.record_type, c.field
