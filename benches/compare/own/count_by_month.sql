-- question: How many events does each month have?
-- params:   none
-- returns:  as selected
-- needs:    evidence

select
    occurred_month,
    count(*) as events
from events
group by occurred_month
order by occurred_month
