-- question: Who approved a change of his own?
-- grain:    one row per approving decision
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
-- needs:    action.decided, reviewer, actor_id of proposals and executions
-- window:   actions
-- why:      the reviewer is neither the proposer nor an agent that executed the action; a person who
--           approves and then executes what an agent proposed is the second pair of eyes. Untestable:
--           it is not known who decided, or nobody named is that person and the proposer or an agent
--           that executed is not named.

select
    case
        when is_self_decided then 'violation'
        when is_self_decided is null then 'untestable'
        else 'ok'
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
        when is_self_decided
            then concat(decision, ' by ', decided_by, ', who proposed or executed the action')
        when decided_by is null then 'nobody is named as the reviewer'
        when is_self_decided is null then 'the proposer or the acting agent is not named'
    end as detail
from decisions
where is_approval
  and decided_at >= $period_start
  and decided_at < $period_end
order by seq
