-- question: Which actions were executed although what they rest on is missing?
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
-- needs:    action.executed, inputs, confidence or reason_code
-- window:   actions
-- why:      what an action rests on: the data it read (`inputs`; a create may have none) and why it was
--           proposed (confidence or reason code). The other items of the twelve are about what came
--           after, see evidence_completeness. Nothing is untestable: that they are missing is the
--           violation.

select
    case when e.has_inputs and e.has_reason then 'ok' else 'violation' end as result,
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
        when e.has_inputs and e.has_reason then null
        else concat(
            'executed without ',
            concat_ws(
                ' and ',
                case when not e.has_inputs then 'inputs' end,
                case when not e.has_reason then 'confidence or reason code' end
            )
        )
    end as detail
from approvals as x
inner join action_evidence as e on e.action_id = x.action_id
where x.executed_at >= $period_start
  and x.executed_at < $period_end
order by x.seq
