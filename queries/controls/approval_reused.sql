-- question: Which executions used an approval that an earlier one had used up?
-- grain:    one row per execution whose last decision before it is an approval
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
-- needs:    action.decided, action.executed
-- window:   actions
-- why:      an approval covers one execution: the first with outcome succeeded, partial or unknown. A
--           failed attempt touched nothing and uses up nothing. Nothing is untestable: order and
--           outcome are always there.

select
    case when use_number > 1 then 'violation' else 'ok' end as result,
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
        when use_number > 1 then concat(
            'execution number ', use_number, ' under the approval of event ', decision_seq,
            '; expected a new approval'
        )
    end as detail
from approvals
where is_approved
  and executed_at >= $period_start
  and executed_at < $period_end
order by seq
