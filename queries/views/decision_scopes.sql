-- question: In which results does the final decision on an action take part?
-- grain:    one row per row of action_scopes, and one per action whose final decision names a reviewer
-- params:   none
-- returns:  grain           utf8       as in action_scopes, and reviewer
--           key             utf8       for the reviewer: who decided last
--           cohort_at       timestamp
--           first_decision  utf8
--           final_decision  utf8
--           is_undecided    boolean    pending for rates of the first decision
--           is_unresolved   boolean    pending for rates of the final decision
-- needs:    action.proposed, action.decided
-- why:      who escalated an action did not decide it: the reviewer is that of the final decision.

select
    grain,
    key,
    cohort_at,
    first_decision,
    final_decision,
    is_undecided,
    is_unresolved
from action_scopes
union all
select
    'reviewer' as grain,
    final_decision_reviewer as key,
    cohort_at,
    first_decision,
    final_decision,
    is_undecided,
    is_unresolved
from action_scopes
where grain = 'period'
  and final_decision_reviewer is not null
