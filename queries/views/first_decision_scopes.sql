-- question: In which results does the first decision on an action take part?
-- grain:    one row per row of action_scopes, and one per action whose first decision names a reviewer
-- params:   none
-- returns:  grain              utf8       as in action_scopes, and reviewer
--           key                utf8       for the reviewer: who decided first
--           cohort_at          timestamp
--           has_proposal       boolean
--           proposed_at        timestamp
--           first_decision     utf8
--           first_decision_at  timestamp
--           review_opened_at   timestamp  before the first decision
--           is_undecided       boolean    pending for rates of the first decision
-- needs:    action.proposed, action.decided
-- why:      how fast somebody decides is a fact about the first reviewer; a later one answers a
--           different question.

select
    grain,
    key,
    cohort_at,
    has_proposal,
    proposed_at,
    first_decision,
    first_decision_at,
    first_decision_review_opened_at as review_opened_at,
    is_undecided
from action_scopes
union all
select
    'reviewer' as grain,
    first_decision_reviewer as key,
    cohort_at,
    has_proposal,
    proposed_at,
    first_decision,
    first_decision_at,
    first_decision_review_opened_at as review_opened_at,
    is_undecided
from action_scopes
where grain = 'period'
  and first_decision_reviewer is not null
