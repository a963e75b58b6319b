-- question: For which type of recommendation does a reviewer decide unlike the others, and how fast?
-- grain:    one row per reviewer and issue type with a final decision in the period
-- params:   period_start  timestamp
--           period_end    timestamp  half-open
--           fast_seconds  int64      = 5  a decision this soon after opening was not read
-- returns:  reviewer         utf8
--           issue_type       utf8     null: not said
--           decided          int64    final decisions approved, approved_with_changes or rejected
--           approved         int64    of those, approved or approved_with_changes
--           value            float64  approved / decided
--           peer_decided     int64    by the others, of the same issue type
--           peer_rate        float64  what they approve of it; half an approval in one decision added; null
--                                     without others
--           p_high           float64  chance of this many approvals or more at peer_rate
--           p_low            float64  chance of this many or fewer
--           p_high_holm      float64  p_high adjusted for the number of comparisons
--           first_decided    int64    first decisions, which the next five are of
--           unopened_share   float64  without review_opened_at
--           fast_share       float64  approvals sooner than fast_seconds / those with review_opened_at
--           seconds_10       float64  from opening to the decision: a tenth was sooner, nearest rank
--           seconds_50       float64  half was sooner
--           seconds_90       float64  a tenth was later
-- needs:    action.decided, reviewer, review_opened_at
-- window:   actions
-- why:      what one reviewer approves of a type is compared with what the others approve of the same
--           one, so that who gets the easy cases does not look careless. A high rate alone is no finding.

with judgements as (
    select
        final_decision_reviewer as reviewer,
        issue_type,
        count(*) as decided,
        count(*) filter (where final_decision <> 'rejected') as approved
    from actions
    where cohort_at >= $period_start
      and cohort_at < $period_end
      and final_decision in ('approved', 'approved_with_changes', 'rejected')
      and final_decision_reviewer is not null
    group by final_decision_reviewer, issue_type
),
peers as (
    select
        reviewer,
        issue_type,
        decided,
        approved,
        sum(decided) over (partition by issue_type) - decided as peer_decided,
        sum(approved) over (partition by issue_type) - approved as peer_approved
    from judgements
),
rates as (
    select
        reviewer,
        issue_type,
        decided,
        approved,
        peer_decided,
        case when peer_decided > 0 then (peer_approved + 0.5) / (peer_decided + 1) end as peer_rate
    from peers
),
compared as (
    select
        reviewer,
        issue_type,
        binomial_tail_high(approved, decided, peer_rate) as p_high,
        binomial_tail_low(approved, decided, peer_rate) as p_low,
        cast(row_number() over (order by reviewer, issue_type) as bigint) as position
    from rates
    where peer_rate is not null
),
adjusted as (
    select holm(array_agg(p_high order by position)) as p_high_holm
    from compared
),
ranked as (
    select
        reviewer,
        issue_type,
        is_approval,
        duration_us,
        row_number() over (partition by reviewer, issue_type order by duration_us nulls last) as position,
        count(duration_us) over (partition by reviewer, issue_type) as opened
    from first_decisions
    where cohort_at >= $period_start
      and cohort_at < $period_end
),
speeds as (
    select
        reviewer,
        issue_type,
        count(*) as first_decided,
        count(duration_us) as opened,
        count(duration_us) filter (where is_approval) as approvals_opened,
        count(duration_us) filter (
            where is_approval and duration_us < $fast_seconds * 1000000
        ) as approvals_fast,
        min(duration_us) filter (where position * 10 >= opened) as us_10,
        min(duration_us) filter (where position * 2 >= opened) as us_50,
        min(duration_us) filter (where position * 10 >= opened * 9) as us_90
    from ranked
    group by reviewer, issue_type
)
select
    r.reviewer,
    r.issue_type,
    r.decided,
    r.approved,
    cast(r.approved as double) / r.decided as value,
    r.peer_decided,
    r.peer_rate,
    c.p_high,
    c.p_low,
    a.p_high_holm[c.position] as p_high_holm,
    coalesce(s.first_decided, 0) as first_decided,
    cast(s.first_decided - s.opened as double) / s.first_decided as unopened_share,
    cast(s.approvals_fast as double) / nullif(s.approvals_opened, 0) as fast_share,
    s.us_10 / 1000000.0 as seconds_10,
    s.us_50 / 1000000.0 as seconds_50,
    s.us_90 / 1000000.0 as seconds_90
from rates as r
left join compared as c
    on c.reviewer = r.reviewer
    and c.issue_type is not distinct from r.issue_type
left join speeds as s
    on s.reviewer = r.reviewer
    and s.issue_type is not distinct from r.issue_type
cross join adjusted as a
order by least(c.p_high, c.p_low) nulls last, r.reviewer, r.issue_type
