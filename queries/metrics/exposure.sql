-- question: How often were blocked fields read or written, and how often was that refused?
-- grain:    one row per part for the period and each workflow that touched a blocked field
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  grain        utf8     period or workflow
--           key          utf8     null for the period, else workflow
--           part         utf8     read_granted, read_denied, write_granted, write_denied; always all
--           numerator    int64    reads: distinct records; writes: distinct actions
--           denominator  int64    null: exposure is a count, no share
--           value        float64  null
--           ci_low       float64  null
--           ci_high      float64  null
--           pending      int64    null
--           status       utf8     no_data when the policies of the period block no field; else ok
-- needs:    data.accessed, inputs, action.executed, config.changed
-- window:   actions
-- why:      judged by the policy in force at the time of the access, and counted in the period of the
--           access. A read without a field is of the whole record, blocked fields included; a write
--           names its field. Reads are data.accessed and the inputs of any event, granted unless
--           denied. Writes are granted when executed, and denied when the execution was, or when the
--           policy blocked the action.

with reads as (
    select
        occurred_at,
        workflow,
        system,
        record_type,
        record_id,
        field,
        outcome as read_outcome
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
        read_outcome
    from (
        select
            occurred_at,
            workflow,
            case when event_type = 'data.accessed' then outcome end as read_outcome,
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
        case when read_outcome = 'denied' then 'read_denied' else 'read_granted' end as part,
        occurred_at,
        workflow,
        system,
        record_type,
        record_id,
        field,
        cast(null as varchar) as action_id
    from reads
    union all
    select
        case
            when e.event_type = 'action.executed' and e.outcome in ('succeeded', 'partial', 'unknown')
                then 'write_granted'
            else 'write_denied'
        end as part,
        e.occurred_at,
        a.workflow,
        a.system,
        a.record_type,
        a.record_id,
        a.field,
        e.action_id
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
rules as (
    select
        workflow,
        system,
        record_type,
        field,
        effective_from,
        effective_to
    from policy_rules
    where kind = 'blocked_field'
      and effective_from < $period_end
      and effective_to > $period_start
),
exposures as (
    select
        g.grain,
        case g.grain when 'workflow' then a.workflow end as key,
        a.part,
        a.action_id,
        case when a.action_id is null then a.system end as system,
        case when a.action_id is null then a.record_type end as record_type,
        case when a.action_id is null then a.record_id end as record_id
    from accesses as a
    inner join rules as r
        on a.occurred_at >= r.effective_from
        and a.occurred_at < r.effective_to
        and (r.workflow is null or r.workflow = a.workflow)
        and (r.system is null or r.system = a.system)
        and (r.record_type is null or r.record_type = a.record_type)
        and (r.field is null or r.field = a.field or (a.field is null and a.action_id is null))
    cross join (values ('period'), ('workflow')) as g (grain)
    where g.grain = 'period' or a.workflow is not null
    union all
    select 'period', null, null, null, null, null, null
),
touched as (
    select
        grain,
        key,
        part
    from exposures
    group by grain, key, part, action_id, system, record_type, record_id
),
scopes as (
    select
        grain,
        key,
        count(*) filter (where part = 'read_granted') as read_granted,
        count(*) filter (where part = 'read_denied') as read_denied,
        count(*) filter (where part = 'write_granted') as write_granted,
        count(*) filter (where part = 'write_denied') as write_denied
    from touched
    group by grain, key
),
policy as (
    select count(*) as blocked_fields
    from rules
)
select
    s.grain,
    s.key,
    p.part,
    case p.part
        when 'read_granted' then s.read_granted
        when 'read_denied' then s.read_denied
        when 'write_granted' then s.write_granted
        when 'write_denied' then s.write_denied
    end as numerator,
    cast(null as bigint) as denominator,
    cast(null as double) as value,
    cast(null as double) as ci_low,
    cast(null as double) as ci_high,
    cast(null as bigint) as pending,
    case when policy.blocked_fields = 0 then 'no_data' else 'ok' end as status
from scopes as s
cross join policy
cross join (
    values (1, 'read_granted'), (2, 'read_denied'), (3, 'write_granted'), (4, 'write_denied')
) as p (position, part)
order by
    case s.grain when 'period' then 0 else 1 end,
    s.key, p.position
