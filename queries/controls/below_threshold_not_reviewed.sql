-- question: Which uncertain actions were executed without a person looking first?
-- grain:    one row per execution with a confidence threshold, from the policy or else from the agent
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the execution
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8
--           seq          int64      of the execution
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       who executed
--           detail       utf8       what was found; null when ok
-- needs:    action.executed, confidence, threshold or a policy with thresholds, action.decided,
--           reviewer
-- window:   actions
-- why:      the threshold is the most specific one of the policy in force at the execution, else the
--           one that the agent reports. Exactly at the threshold is enough. Looking first means a
--           decision by a person before the execution, whatever it said. No threshold: not in the
--           population. Untestable, where nobody is known to have looked: the confidence is missing, or
--           there is a decision that names nobody or was recorded after the execution.

with limits as (
    select
        x.seq,
        first_value(r.number order by r.precedence) as min_confidence
    from approvals as x
    inner join policy_rules as r
        on r.effective_from = x.policy_from
        and r.kind = 'threshold'
        and (r.workflow is null or r.workflow = x.workflow)
        and (r.area is null or r.area = x.permission_area)
        and (r.system is null or r.system = x.system)
        and (r.record_type is null or r.record_type = x.record_type)
        and (r.field is null or r.field = x.field)
        and (r.operation is null or r.operation = x.operation)
        and (r.issue_type is null or r.issue_type = x.issue_type)
    group by x.seq
),
looks as (
    select
        x.seq,
        bool_or(d.decided_by is not null and d.seq <= x.seq) as is_by_person_in_time
    from approvals as x
    inner join decisions as d on d.action_id = x.action_id and d.event_order <= x.event_order
    where not d.is_by_machine
    group by x.seq
),
judged as (
    select
        x.*,
        coalesce(l.min_confidence, x.threshold) as min_confidence,
        k.seq is not null as has_look,
        case
            when x.confidence >= coalesce(l.min_confidence, x.threshold) then 'ok'
            when k.is_by_person_in_time then 'ok'
            when k.seq is not null or x.confidence is null then 'untestable'
            else 'violation'
        end as result
    from approvals as x
    left join limits as l on l.seq = x.seq
    left join looks as k on k.seq = x.seq
    where x.executed_at >= $period_start
      and x.executed_at < $period_end
      and (l.min_confidence is not null or x.threshold is not null)
)
select
    result,
    action_id,
    seq,
    executed_at as occurred_at,
    workflow,
    system,
    record_type,
    record_id,
    field,
    executed_by as actor,
    case
        when result = 'ok' then null
        when result = 'violation' then concat(
            'confidence ', confidence, ' is below ', min_confidence, ' and no person decided before'
        )
        when has_look then 'the decision before names nobody or was recorded after the execution'
        else 'the confidence is not recorded'
    end as detail
from judged
order by seq
