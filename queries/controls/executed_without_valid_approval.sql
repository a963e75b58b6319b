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
-- why:      valid as in the view approvals: decided before and recorded before, by somebody else who
--           was entitled, for this very patch, used once. Untestable: hash or reviewer is missing, or
--           the level is not known and there is no valid approval. Levels 2, 4 and 5 by the built-in
--           default.

with approval_levels as (
    select
        effective_from,
        array_agg(level) as levels
    from policy_rules
    where kind = 'approval_level'
    group by effective_from
),
executions as (
    select
        x.*,
        case
            when x.status = 'valid' then 'ok'
            when x.level is null or x.status = 'unprovable' then 'untestable'
            else 'violation'
        end as result
    from approvals as x
    inner join approval_levels as l on l.effective_from = x.policy_from
    where x.executed_at >= $period_start
      and x.executed_at < $period_end
      and (x.level is null or array_has(l.levels, x.level))
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
            coalesce('level ' || level, 'an unknown level'),
            case status
                when 'missing' then ' without a decision'
                when 'not_approved' then concat(' after the decision ', decision)
                when 'recorded_late' then ' with an approval recorded after the execution'
                when 'self_approved' then ' with an approval by the proposer or the acting agent'
                when 'not_authorised' then ' with an approval by somebody who is not entitled'
                when 'payload_differs' then ' with another patch than the approved one'
                when 'reused' then ' with an approval that was used before'
                else ' with an approval that lacks the hash of the patch or the reviewer'
            end,
            '; expected a valid approval'
        )
    end as detail
from executions
order by seq
