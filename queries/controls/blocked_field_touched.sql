-- question: Which blocked fields were read or written?
-- grain:    one row per event and cell that it read or wrote, in a workflow with blocked fields
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the event
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8
--           seq          int64      of the event
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       who touched it
--           detail       utf8       what was found; null when ok
-- needs:    data.accessed, inputs, action.executed, a policy with blocked fields
-- window:   actions
-- why:      by the policy in force at that moment. Reads are data.accessed and the inputs of any event,
--           unless denied; a data.accessed with inputs and no record of its own reads those. A read
--           without a field is of the whole record, blocked fields included. A denied access did no
--           harm and is no row. No blocked fields, as in the built-in default: nothing to test.
--           Untestable: system, record type or, of a write, field is missing, and a blocked field could
--           be meant.

with touches as (
    select
        seq,
        occurred_at,
        action_id,
        workflow,
        actor_id,
        system,
        record_type,
        record_id,
        field,
        'read' as access
    from events
    where event_type = 'data.accessed'
      and environment = 'production'
      and coalesce(outcome, 'succeeded') <> 'denied'
      and (system is not null or inputs is null)
    union
    select
        seq,
        occurred_at,
        action_id,
        workflow,
        actor_id,
        input['system'] as system,
        input['record_type'] as record_type,
        input['record_id'] as record_id,
        input['field'] as field,
        'read' as access
    from (
        select
            seq,
            occurred_at,
            action_id,
            workflow,
            actor_id,
            unnest(inputs) as input
        from events
        where inputs is not null
          and environment = 'production'
          and event_type not like 'evidence.%'
          and not (event_type = 'data.accessed' and coalesce(outcome, 'succeeded') = 'denied')
    ) as read_inputs
    union
    select
        seq,
        occurred_at,
        action_id,
        workflow,
        actor_id,
        system,
        record_type,
        record_id,
        field,
        'write' as access
    from judged_actions
    where phase = 'execution'
),
judged as (
    select
        t.seq,
        t.occurred_at,
        t.action_id,
        t.workflow,
        t.actor_id,
        t.system,
        t.record_type,
        t.record_id,
        t.field,
        t.access,
        coalesce(bool_or(
            (r.system is null or r.system = t.system)
            and (r.record_type is null or r.record_type = t.record_type)
            and (r.field is null or r.field = t.field or (t.field is null and t.access = 'read'))
        ), false) as is_blocked,
        count(*) filter (
            where (
                    (r.system is null or r.system = t.system)
                    and (r.record_type is null or r.record_type = t.record_type)
                    and (r.field is null or r.field = t.field or (t.field is null and t.access = 'read'))
                ) is null
        ) > 0 as is_undecided
    from touches as t
    inner join policies as p
        on t.occurred_at >= p.effective_from and t.occurred_at < p.effective_to
    inner join policy_rules as r
        on r.effective_from = p.effective_from
        and r.kind = 'blocked_field'
        and r.workflow = t.workflow
    where t.occurred_at >= $period_start
      and t.occurred_at < $period_end
    group by
        t.seq,
        t.occurred_at,
        t.action_id,
        t.workflow,
        t.actor_id,
        t.system,
        t.record_type,
        t.record_id,
        t.field,
        t.access
)
select
    case
        when is_blocked then 'violation'
        when is_undecided then 'untestable'
        else 'ok'
    end as result,
    action_id,
    seq,
    occurred_at,
    workflow,
    system,
    record_type,
    record_id,
    field,
    actor_id as actor,
    case
        when is_blocked and field is null then 'the whole record was read, and the policy blocks fields of it'
        when is_blocked then concat(
            'the policy blocks this field for the workflow; it was ',
            case access when 'read' then 'read' else 'written' end
        )
        when is_undecided then 'not enough is recorded to say which fields were touched'
    end as detail
from judged
order by seq, access, system, record_type, record_id, field
