-- question: In which results does an action take part?
-- grain:    one row per action and grain: the period, its workflow, its batch
-- params:   none
-- returns:  grain                 utf8       period, workflow or batch
--           key                   utf8       null for the period, else workflow or batch_id
--           action_id             utf8
--           cohort_at             timestamp
--           has_proposal          boolean
--           has_execution         boolean
--           proposed_at           timestamp
--           first_decision        utf8
--           first_decision_at     timestamp
--           final_decision        utf8
--           any_attempted         boolean
--           last_attempt_outcome  utf8
--           max_attempt           int32
--           is_undecided          boolean    pending for rates of the first decision
--           is_unresolved         boolean    pending for rates of the final decision
-- needs:    action.proposed, action.decided, action.executed
-- why:      pending needs an action.proposed and no execution: it is shown and never in a denominator.

select
    g.grain,
    case g.grain when 'workflow' then a.workflow when 'batch' then a.batch_id end as key,
    a.action_id,
    a.cohort_at,
    a.has_proposal,
    a.has_execution,
    a.proposed_at,
    a.first_decision,
    a.first_decision_at,
    a.final_decision,
    a.any_attempted,
    a.last_attempt_outcome,
    a.max_attempt,
    a.has_proposal and not a.has_execution and a.first_decision is null as is_undecided,
    a.has_proposal and not a.has_execution
        and coalesce(a.final_decision, 'escalated') = 'escalated' as is_unresolved
from actions as a
cross join (values ('period'), ('workflow'), ('batch')) as g (grain)
where g.grain <> 'batch' or a.batch_id is not null
