-- question: Which executions relied on an approval that had expired?
-- grain:    one row per execution after an approval while the policy limits its age, or after the
--           decision expired
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
-- needs:    action.decided, action.executed, approval_valid_hours in the policy
-- window:   actions
-- why:      the record has moved on since. The limit is that of the policy in force at the execution;
--           exactly at the limit is in time. Without a limit, as under the built-in default, only a
--           decision `expired` can be disregarded. Nothing is untestable: both times are always there.

with executions as (
    select
        x.*,
        s.hours,
        x.decision = 'expired'
            or cast(x.executed_at as bigint) - cast(x.decided_at as bigint)
                > s.hours * 3600000000 as is_expired
    from approvals as x
    left join policy_rules as s
        on s.effective_from = x.policy_from and s.kind = 'setting' and s.name = 'approval_valid_hours'
    where x.executed_at >= $period_start
      and x.executed_at < $period_end
      and (x.decision = 'expired' or (x.is_approved and s.hours is not null))
)
select
    case when is_expired then 'violation' else 'ok' end as result,
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
        when decision = 'expired' then 'the last decision before the execution is expired'
        when is_expired then concat(
            'approved at ', to_char(decided_at, '%Y-%m-%dT%H:%M:%SZ'), '; an approval is valid for ',
            hours, ' hours'
        )
    end as detail
from executions
order by seq
