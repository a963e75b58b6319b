-- question: Which executed actions does the policy prohibit?
-- grain:    one row per execution while the policy in force prohibits something
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
-- needs:    action.executed, a policy with prohibited acts
-- window:   actions
-- why:      no approval makes a prohibited act right. A policy without prohibited acts, as the built-in
--           default, leaves nothing to test. Untestable: area, system, record type or operation is
--           missing and the act would be prohibited with the value that the rule names. An action
--           without a field changes no field.

with matches as (
    select
        x.seq,
        r.precedence,
        (r.workflow is null or r.workflow = x.workflow)
            and (r.area is null or r.area = x.permission_area)
            and (r.system is null or r.system = x.system)
            and (r.record_type is null or r.record_type = x.record_type)
            and (r.operation is null or r.operation = x.operation)
            and coalesce(r.field is null or r.field = x.field, false)
            and coalesce(r.issue_type is null or r.issue_type = x.issue_type, false) as is_match
    from approvals as x
    inner join policy_rules as r on r.effective_from = x.policy_from and r.kind = 'prohibited'
    where x.executed_at >= $period_start
      and x.executed_at < $period_end
),
judged as (
    select
        seq,
        min(precedence) filter (where is_match) as prohibited,
        min(precedence) filter (where is_match is null) as undecided
    from matches
    group by seq
)
select
    case
        when j.prohibited is not null then 'violation'
        when j.undecided is not null then 'untestable'
        else 'ok'
    end as result,
    x.action_id,
    x.seq,
    x.executed_at as occurred_at,
    x.workflow,
    x.system,
    x.record_type,
    x.record_id,
    x.field,
    x.executed_by as actor,
    case
        when j.prohibited is not null then concat('prohibited by the policy: ', r.name)
        when j.undecided is not null then concat('too little is known to rule out: ', r.name)
    end as detail
from approvals as x
inner join judged as j on j.seq = x.seq
left join policy_rules as r
    on r.effective_from = x.policy_from
    and r.kind = 'prohibited'
    and r.precedence = coalesce(j.prohibited, j.undecided)
order by x.seq
