-- question: When did somebody look at a sample of the agents' work?
-- grain:    one row per act of review
-- params:   none
-- returns:  seq              int64
--           event_order      decimal(38,0)
--           reviewed_at      timestamp
--           workflow         utf8           null: not said
--           permission_area  utf8           null: not said
--           reviewer         utf8
-- needs:    review.marked, review.decided or action.labeled
-- why:      a mark or a decision of a planned review, or the label that a person puts on an action,
--           counts; planning or drawing a sample does not, and approving a proposal is no sample.

select
    e.seq,
    e.event_order,
    e.occurred_at as reviewed_at,
    coalesce(e.workflow, a.workflow) as workflow,
    coalesce(e.permission_area, a.permission_area) as permission_area,
    coalesce(e.reviewer, e.actor_id) as reviewer
from events as e
left join actions as a on a.action_id = e.action_id
where e.environment = 'production'
  and (
      e.event_type in ('review.marked', 'review.decided')
      or (e.event_type = 'action.labeled' and e.actor_kind = 'human')
  )
