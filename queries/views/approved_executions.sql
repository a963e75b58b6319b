-- question: Which executions carried out an approved action?
-- grain:    one row per action.executed with outcome succeeded, partial or unknown
-- params:   none
-- returns:  action_id        utf8
--           seq              int64
--           event_order      decimal(38,0)
--           executed_at      timestamp
--           outcome          utf8
--           system           utf8           of the action, as the next two
--           record_type      utf8
--           record_id        utf8
--           kind             utf8           the exception its issue_type stands for; else null
--           any_rolled_back  boolean        some roll-back of the action succeeded
-- needs:    action.decided, action.executed
-- why:      approved means that the final decision is approved or approved_with_changes.

select
    a.action_id,
    e.seq,
    e.event_order,
    e.occurred_at as executed_at,
    e.outcome,
    a.system,
    a.record_type,
    a.record_id,
    case a.issue_type
        when 'missing_required_field' then 'required_field'
        when 'stale_owner' then 'owner'
        when 'duplicate' then 'duplicate'
        when 'lifecycle_mismatch' then 'lifecycle'
        when 'routing_error' then 'routing'
        when 'unclear_lead_source' then 'routing'
    end as kind,
    a.any_rolled_back
from actions as a
inner join action_events as e on e.action_id = a.action_id
where e.event_type = 'action.executed'
  and e.outcome in ('succeeded', 'partial', 'unknown')
  and a.final_decision in ('approved', 'approved_with_changes')
