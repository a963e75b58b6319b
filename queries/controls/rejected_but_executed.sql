-- question: Which actions were executed although they had been rejected or blocked?
-- grain:    one row per execution
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
-- needs:    action.executed, action.decided or policy_outcome
-- window:   actions
-- why:      rejected or withdrawn by the last decision before the execution, or blocked by the last
--           policy_outcome before it, approved or not: a block is lifted by a new evaluation, not by a
--           decision. Untestable: neither a decision nor a policy_outcome is known, or the rejection
--           was recorded after the execution.

with outcomes as (
    select
        x.seq,
        max(e.event_order) as outcome_order
    from approvals as x
    inner join action_events as e
        on e.action_id = x.action_id
        and e.event_order <= x.event_order
    where e.policy_outcome is not null
    group by x.seq
),
executions as (
    select
        x.*,
        e.policy_outcome,
        coalesce(x.decision in ('rejected', 'withdrawn'), false) as is_rejected,
        coalesce(e.policy_outcome = 'blocked', false) as is_blocked
    from approvals as x
    left join outcomes as o on o.seq = x.seq
    left join action_events as e on e.action_id = x.action_id and e.event_order = o.outcome_order
    where x.executed_at >= $period_start
      and x.executed_at < $period_end
)
select
    case
        when is_blocked or (is_rejected and not is_recorded_late) then 'violation'
        when is_rejected or (decision is null and policy_outcome is null) then 'untestable'
        else 'ok'
    end as result,
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
        when is_rejected and not is_recorded_late then concat(
            'the last decision before the execution is ', decision, coalesce(' by ' || decided_by, '')
        )
        when is_blocked then 'the last policy_outcome before the execution is blocked'
        when is_rejected then 'the rejection was recorded after the execution'
        when decision is null and policy_outcome is null
            then 'neither a decision nor a policy_outcome is recorded'
    end as detail
from executions
order by seq
