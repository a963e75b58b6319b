-- question: Who decided how, by workflow and issue type?
-- params:   none
-- returns:  as selected
-- needs:    evidence

select
    workflow,
    issue_type,
    reviewer,
    decision,
    count(*) as decisions
from events
where decision is not null
group by workflow, issue_type, reviewer, decision
order by workflow, issue_type, reviewer, decision
