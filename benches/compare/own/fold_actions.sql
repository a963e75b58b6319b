-- question: What became of the actions? A sum over the whole fold.
-- params:   none
-- returns:  as selected
-- needs:    evidence

select
    final_decision,
    outcome,
    count(*) as actions,
    sum(length(new_value)) as letters,
    min(new_value) as least,
    max(new_value) as greatest
from actions
group by final_decision, outcome
order by final_decision, outcome
