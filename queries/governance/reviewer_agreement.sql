-- question: Do two people who judged the same action agree?
-- grain:    one row per pair of reviewers who both decided an action of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  first_reviewer   utf8     of the two, the first in order of name
--           second_reviewer  utf8
--           actions          int64    decided by both
--           observed         float64  share decided alike
--           kappa            float64  Cohen; null where undefined
--           ac1              float64  Gwet, which stays sensible when nearly everything is approved
-- needs:    action.decided, reviewer
-- window:   actions
-- why:      the last decision of each person on the action, approved, approved_with_changes or
--           rejected: to escalate is to leave the judgement to somebody else. The second usually saw
--           the first one's decision, so agreement here is an upper bound.

with last_decisions as (
    select
        e.action_id,
        e.reviewer,
        max(e.event_order) as event_order
    from events as e
    inner join actions as a on a.action_id = e.action_id
    where e.decision in ('approved', 'approved_with_changes', 'rejected')
      and e.environment = 'production'
      and e.event_type not like 'evidence.%'
      and e.reviewer is not null
      and a.cohort_at >= $period_start
      and a.cohort_at < $period_end
    group by e.action_id, e.reviewer
),
judgements as (
    select
        l.action_id,
        l.reviewer,
        e.decision
    from last_decisions as l
    inner join events as e on e.event_order = l.event_order
),
pairs as (
    select
        f.reviewer as first_reviewer,
        s.reviewer as second_reviewer,
        f.decision as first_decision,
        s.decision as second_decision,
        f.action_id
    from judgements as f
    inner join judgements as s on s.action_id = f.action_id and s.reviewer > f.reviewer
),
lists as (
    select
        first_reviewer,
        second_reviewer,
        count(*) as actions,
        count(*) filter (where first_decision = second_decision) as equal,
        array_agg(first_decision order by action_id) as first_decisions,
        array_agg(second_decision order by action_id) as second_decisions
    from pairs
    group by first_reviewer, second_reviewer
)
select
    first_reviewer,
    second_reviewer,
    actions,
    cast(equal as double) / actions as observed,
    cohen_kappa(first_decisions, second_decisions) as kappa,
    gwet_ac1(first_decisions, second_decisions) as ac1
from lists
order by first_reviewer, second_reviewer
