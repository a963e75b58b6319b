-- question: Does a reviewer decide unlike the others, and are there signs that nobody looked?
-- grain:    one row per reviewer with a final decision in the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           fast_seconds   int64      = 5  a decision this soon after opening was not read
-- returns:  reviewer        utf8
--           decided         int64    final decisions approved, approved_with_changes or rejected
--           approved        int64    of those, approved or approved_with_changes
--           value           float64  approved / decided
--           peer_rate       float64  what the others approve, on this reviewer's mix of issue types;
--                                    half an approval in one decision added; null without others
--           funnel_low      int64    2.5 % and 97.5 % quantiles of approved, if the reviewer were like
--                                    the others
--           funnel_high     int64
--           p_high          float64  chance of this many approvals or more at peer_rate
--           p_low           float64  chance of this many or fewer
--           p_high_holm     float64  p_high adjusted for the number of reviewers
--           fast_share      float64  approvals sooner than fast_seconds / those with review_opened_at
--           median_seconds  float64  from opening to the first decision, nearest rank
--           signals         utf8     in words, joined by `; `; null when there is none
-- needs:    action.decided, reviewer, review_opened_at
-- window:   actions
-- why:      a high rate alone is no finding: the agent may be good. It is one of six signals, and the
--           finding needs two. Peers leave the reviewer out; an issue type that nobody else decides
--           takes the others' overall rate; the added half keeps a few peers who all agree from being taken
--           as certain. Speed is of first decisions, rates are of final ones.

with judgements as (
    select
        a.final_decision_reviewer as reviewer,
        a.issue_type,
        count(*) as decided,
        count(*) filter (where a.final_decision <> 'rejected') as approved,
        count(*) filter (
            where a.final_decision <> 'rejected' and v.verdict in ('true_positive', 'false_positive')
        ) as judged,
        count(*) filter (
            where a.final_decision <> 'rejected' and v.verdict = 'false_positive'
        ) as wrong
    from actions as a
    inner join verdicts as v on v.action_id = a.action_id
    where a.cohort_at >= $period_start
      and a.cohort_at < $period_end
      and a.final_decision in ('approved', 'approved_with_changes', 'rejected')
      and a.final_decision_reviewer is not null
    group by a.final_decision_reviewer, a.issue_type
),
by_type as (
    select
        reviewer,
        decided,
        approved,
        judged,
        wrong,
        sum(decided) over (partition by issue_type) - decided as type_decided,
        sum(approved) over (partition by issue_type) - approved as type_approved,
        sum(decided) over () - sum(decided) over (partition by reviewer) as others_decided,
        sum(approved) over () - sum(approved) over (partition by reviewer) as others_approved,
        sum(judged) over () - sum(judged) over (partition by reviewer) as others_judged,
        sum(wrong) over () - sum(wrong) over (partition by reviewer) as others_wrong
    from judgements
),
reviewers as (
    select
        reviewer,
        sum(decided) as decided,
        sum(approved) as approved,
        sum(judged) as judged,
        sum(wrong) as wrong,
        max(others_judged) as others_judged,
        max(others_wrong) as others_wrong,
        max(others_decided) as others_decided,
        -- Decimals: a sum of floats would depend on the order of its rows.
        cast(sum(cast(decided * case
            when type_decided > 0 then (type_approved + 0.5) / (type_decided + 1)
            when others_decided > 0 then (others_approved + 0.5) / (others_decided + 1)
        end as decimal(38, 18))) as double) / sum(decided) as peer_rate
    from by_type
    group by reviewer
),
ranked as (
    select
        reviewer,
        is_approval,
        duration_us,
        row_number() over (partition by reviewer order by duration_us nulls last) as position,
        count(duration_us) over (partition by reviewer) as opened
    from first_decisions
    where cohort_at >= $period_start
      and cohort_at < $period_end
),
speeds as (
    select
        reviewer,
        count(*) as first_decided,
        count(duration_us) as opened,
        count(duration_us) filter (where is_approval) as approvals_opened,
        count(duration_us) filter (
            where is_approval and duration_us < $fast_seconds * 1000000
        ) as approvals_fast,
        min(duration_us) filter (where position * 2 >= opened) as median_us,
        sum(count(*)) over () - count(*) as others_decided,
        sum(count(duration_us)) over () - count(duration_us) as others_opened
    from ranked
    group by reviewer
),
compared as (
    select
        reviewer,
        binomial_tail_high(approved, decided, peer_rate) as p_high,
        binomial_tail_low(approved, decided, peer_rate) as p_low,
        cast(row_number() over (order by reviewer) as bigint) as position
    from reviewers
    where peer_rate is not null
),
adjusted as (
    select holm(array_agg(p_high order by position)) as p_high_holm, count(*) as reviewers
    from compared
)
select
    r.reviewer,
    r.decided,
    r.approved,
    cast(r.approved as double) / r.decided as value,
    r.peer_rate,
    binomial_quantile(0.025, r.decided, r.peer_rate) as funnel_low,
    binomial_quantile(0.975, r.decided, r.peer_rate) as funnel_high,
    c.p_high,
    c.p_low,
    j.p_high_holm[c.position] as p_high_holm,
    cast(s.approvals_fast as double) / nullif(s.approvals_opened, 0) as fast_share,
    s.median_us / 1000000.0 as median_seconds,
    nullif(concat_ws(
        '; ',
        case when r.approved = r.decided and r.decided >= 20 then 'approves everything' end,
        case
            when j.p_high_holm[c.position] < 0.05 and r.others_decided >= 20
                then 'approves more than the others'
        end,
        case
            when c.p_low * j.reviewers < 0.05 and r.others_decided >= 20
                then 'approves less than the others'
        end,
        case
            when s.approvals_opened >= 5 and s.approvals_fast * 2 >= s.approvals_opened
                then concat('half or more of the approvals within ', $fast_seconds, ' s')
        end,
        case
            when s.first_decided >= 5
                and s.opened * 2 < s.first_decided
                and s.others_opened * 2 > s.others_decided
                then 'packet mostly not opened, unlike the others'
        end,
        case
            when r.wrong * r.others_judged > r.others_wrong * r.judged
                and fisher_two_sided(r.wrong, r.judged, r.others_wrong, r.others_judged) < 0.05
                then 'approvals wrong more often than the others'''
        end
    ), '') as signals
from reviewers as r
left join speeds as s on s.reviewer = r.reviewer
left join compared as c on c.reviewer = r.reviewer
cross join adjusted as j
order by r.reviewer
