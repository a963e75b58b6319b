-- question: Which executions carried out another patch than the approved one?
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
-- needs:    action.decided, action.executed, payload_hash
-- window:   actions
-- why:      the hash is of the exact patch: equal on approval and execution when nothing drifted,
--           whatever the values look like. Untestable: either of the two has no hash.

select
    case
        when payload_hash is null or decision_payload_hash is null then 'untestable'
        when payload_hash <> decision_payload_hash then 'violation'
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
        when payload_hash is null then 'the execution has no hash of its patch'
        when decision_payload_hash is null then 'the approval has no hash of the patch'
        when payload_hash <> decision_payload_hash
            then concat('executed ', payload_hash, '; approved was ', decision_payload_hash)
    end as detail
from approvals
where is_approved
  and executed_at >= $period_start
  and executed_at < $period_end
order by seq
