-- question: Which actions of a level that needs approval were executed without a valid one?
-- grain:    one row per execution at a level that the policy then in force lists in approval_levels, or
--           at an unknown one
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
-- needs:    action.decided, action.executed, permission_level or a permission rule, payload_hash,
--           reviewer
-- window:   actions
-- why:      valid as in the view approvals: decided before and recorded before, by somebody else who
--           was entitled, for this very patch, used once. Untestable: the hash, the reviewer or who
--           proposed or executed is missing, or the level is not known and there is no valid approval.
--           Levels 2, 4 and 5 by the built-in default.

with executions as (
    select
        *,
        case
            when status = 'valid' then 'ok'
            when is_level_in_need is null or status = 'unprovable' then 'untestable'
            else 'violation'
        end as result
    from approvals
    where executed_at >= $period_start
      and executed_at < $period_end
      and is_level_in_need is not false
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
        else concat(
            'executed at ',
            case when is_level_in_need then concat('level ', level) else 'an unknown level' end,
            case status
                when 'missing' then ' without a decision'
                when 'not_approved' then concat(' after the decision ', decision)
                when 'recorded_late' then ' with an approval recorded after the execution'
                when 'self_approved' then ' with an approval by the proposer or the acting agent'
                when 'not_authorised' then ' with an approval by somebody who is not entitled'
                when 'payload_differs' then ' with another patch than the approved one'
                when 'reused' then ' with an approval that was used before'
                else ' with an approval of which the hash or somebody involved is not recorded'
            end,
            '; expected a valid approval'
        )
    end as detail
from executions
order by seq
