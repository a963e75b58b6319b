-- question: Which actions are there at all, whatever the period of the question?
-- grain:    one row per action
-- params:   none
-- returns:  action_id        utf8
--           workflow         utf8
--           permission_area  utf8
--           cohort_at        timestamp
--           has_proposal     boolean
--           has_execution    boolean
--           final_decision   utf8
-- needs:    events with action_id
-- why:      a question that reads what belongs to its period alone (`window:`) reads `actions` of the
--           period; what waits or is known since long before stands here.

select
    action_id,
    workflow,
    permission_area,
    cohort_at,
    has_proposal,
    has_execution,
    final_decision
from actions
