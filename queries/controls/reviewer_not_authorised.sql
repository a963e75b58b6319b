-- question: Who approved what the policy did not entitle him to approve?
-- grain:    one row per approving decision while the policy in force says who may approve, and per
--           approval by a machine
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the decision
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8
--           seq          int64      of the decision
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       who decided
--           detail       utf8       what was found; null when ok
-- needs:    action.decided, reviewer, permission_area, amount, a policy with approvers
-- window:   actions
-- why:      entitled for the area, level and amount by the policy in force when he decided. By the
--           built-in default any named reviewer is. A machine never is. Untestable: it is not known who
--           decided.

select
    case
        when is_authorised then 'ok'
        when is_authorised is null then 'untestable'
        else 'violation'
    end as result,
    action_id,
    seq,
    decided_at as occurred_at,
    workflow,
    system,
    record_type,
    record_id,
    field,
    decided_by as actor,
    case
        when is_authorised then null
        when is_authorised is null then 'nobody is named as the reviewer'
        when is_by_machine then concat(decision, ' by a machine, ', decided_by, '; expected a person')
        else concat(
            decision,
            ' by ',
            decided_by,
            ', whom the policy does not entitle',
            coalesce(' in ' || permission_area, ''),
            coalesce(' at level ' || level, ''),
            coalesce(' for ' || amount, '')
        )
    end as detail
from decisions
where is_approval
  and (has_approver_rules or is_by_machine)
  and decided_at >= $period_start
  and decided_at < $period_end
order by seq
