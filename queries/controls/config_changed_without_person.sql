-- question: Which changes of configuration does nobody answer for?
-- grain:    one row per config.changed
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the change
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8
--           seq          int64      of the change
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       who changed it
--           detail       utf8       what was found; null when ok
-- needs:    config.changed, actor_kind, actor_id
-- why:      prompts, rules, models and policies change through a named person. A change without an
--           actor_id, or by an agent, automation or system, is one that nobody answers for. Untestable:
--           somebody is named, but not what kind of actor it is.

select
    case
        when actor_id is null or actor_kind <> 'human' then 'violation'
        when actor_kind is null then 'untestable'
        else 'ok'
    end as result,
    action_id,
    seq,
    occurred_at,
    workflow,
    system,
    record_type,
    record_id,
    field,
    actor_id as actor,
    case
        when actor_id is null then concat(coalesce(field, 'configuration'), ' was changed by nobody named')
        when actor_kind <> 'human'
            then concat(coalesce(field, 'configuration'), ' was changed by ', actor_kind, ' ', actor_id)
        when actor_kind is null
            then concat(actor_id, ' is named; whether that is a person is not recorded')
    end as detail
from events
where event_type = 'config.changed'
  and environment = 'production'
  and occurred_at >= $period_start
  and occurred_at < $period_end
order by seq
