-- question: Who decided first on each action, and how long did it lie open before?
-- grain:    one row per action whose first decision names a reviewer
-- params:   none
-- returns:  reviewer     utf8
--           issue_type   utf8       null: not said
--           cohort_at    timestamp
--           is_approval  boolean    approved or approved_with_changes
--           duration_us  int64      from opening to the decision, microseconds; null where the opening is
--                                   not known
-- needs:    action.decided, reviewer, review_opened_at
-- why:      speed is of the first decision, since a later one may rest on the first reading.

select
    first_decision_reviewer as reviewer,
    issue_type,
    cohort_at,
    first_decision in ('approved', 'approved_with_changes') as is_approval,
    cast(first_decision_at as bigint) - cast(first_decision_review_opened_at as bigint) as duration_us
from actions
where first_decision_reviewer is not null
