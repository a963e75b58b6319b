-- question: Which actions that needed approval were executed without any?
-- grain:    one row per execution that needed approval, for whatever reason, or may have
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
-- needs:    action.decided, action.executed, policy_outcome, permission_level or a policy
-- window:   actions
-- why:      needed because the agent's own rules said so (`policy_outcome`), or the level, or a human-
--           review rule of the policy then in force. Any approving last decision before the execution
--           is enough here; whether it was valid is another control. Untestable: whether approval was
--           needed depends on a level or an attribute that is not known, or the approval was recorded
--           after the execution, so that only the source's clock puts it before.

with executions as (
    select
        *,
        case
            when is_approved and not is_recorded_late then 'ok'
            when is_approved or needs_approval is null then 'untestable'
            else 'violation'
        end as result
    from approvals
    where executed_at >= $period_start
      and executed_at < $period_end
      and (needs_approval or needs_approval is null)
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
        when is_approved then 'the approval was recorded after the execution'
        when needs_approval is null
            then 'not approved, and too little is known to tell whether it had to be'
        else concat(
            case when decision is null then 'no decision' else concat('last decision ', decision) end,
            ' before the execution; approval needed by: ',
            needed_because
        )
    end as detail
from executions
order by seq
