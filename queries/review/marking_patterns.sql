-- question: Does a reviewer of samples mark unlike the others, and are there signs that nobody looked?
-- grain:    one row per reviewer with a mark in the period
-- params:   period_start  timestamp
--           period_end    timestamp  half-open
--           fast_seconds  int64      = 5  a mark this soon after opening was not read
-- returns:  reviewer        utf8
--           marked          int64    items, by the last mark on each
--           judged          int64    of those, correct or incorrect
--           correct         int64
--           value           float64  correct / judged
--           peer_rate       float64  what the others call correct, on this reviewer's mix of reviews;
--                                    half a mark in one added; null without others
--           p_high          float64  chance of this many correct ones or more at peer_rate
--           p_low           float64  chance of this many or fewer
--           p_high_holm     float64  p_high adjusted for the number of reviewers
--           opened          int64    items with review_opened_at
--           fast_share      float64  of those called correct, sooner than fast_seconds
--           median_seconds  float64  from opening to the mark, nearest rank
--           planted         int64    items that are known to be wrong, of reviews that are over
--           planted_missed  int64    of those, called correct
--           signals         utf8     in words, joined by `; `; null when there is none
-- needs:    review.marked, review.decided
-- why:      a high share alone is no finding: the outputs may be good. Which items were planted is known
--           when a review is over, and is looked for over all time: a mark of this period may have missed one
--           that was told later. Escalated items are in no rate.

with ordered as (
    select
        review_id,
        reviewer,
        item,
        mark,
        cast(occurred_at as bigint) - cast(review_opened_at as bigint) as duration_us,
        row_number() over (partition by review_id, reviewer, item order by event_order desc) as position
    from review_marks
    where occurred_at >= $period_start
      and occurred_at < $period_end
),
planted as (
    select distinct review_id, item
    from (
        select review_id, unnest(json_list(extra, '/planted')) as item
        from events
        where source = 'probity'
          and event_type = 'review.decided'
          and review_id is not null
    ) as told
    where item is not null
),
marks as (
    select
        o.review_id,
        o.reviewer,
        o.mark,
        o.duration_us,
        p.item is not null as is_planted
    from ordered as o
    left join planted as p on p.review_id = o.review_id and p.item = o.item
    where o.position = 1
),
by_review as (
    select
        reviewer,
        judged,
        correct,
        sum(judged) over (partition by review_id) - judged as review_judged,
        sum(correct) over (partition by review_id) - correct as review_correct,
        sum(judged) over () - sum(judged) over (partition by reviewer) as others_judged,
        sum(correct) over () - sum(correct) over (partition by reviewer) as others_correct
    from (
        select
            review_id,
            reviewer,
            count(*) filter (where mark in ('correct', 'incorrect')) as judged,
            count(*) filter (where mark = 'correct') as correct
        from marks
        group by review_id, reviewer
    ) as counted
),
rates as (
    select
        reviewer,
        sum(judged) as judged,
        sum(correct) as correct,
        max(others_judged) as others_judged,
        -- Decimals: a sum of floats would depend on the order of its rows.
        cast(sum(cast(judged * case
            when review_judged > 0 then (review_correct + 0.5) / (review_judged + 1)
            when others_judged > 0 then (others_correct + 0.5) / (others_judged + 1)
        end as decimal(38, 18))) as double) / nullif(sum(judged), 0) as peer_rate
    from by_review
    group by reviewer
),
ranked as (
    select
        reviewer,
        mark,
        duration_us,
        is_planted,
        row_number() over (partition by reviewer order by duration_us nulls last) as position,
        count(duration_us) over (partition by reviewer) as opened
    from marks
),
reviewers as (
    select
        reviewer,
        count(*) as marked,
        count(duration_us) as opened,
        count(duration_us) filter (where mark = 'correct') as correct_opened,
        count(duration_us) filter (
            where mark = 'correct' and duration_us < $fast_seconds * 1000000
        ) as correct_fast,
        min(duration_us) filter (where position * 2 >= opened) as median_us,
        count(*) filter (where is_planted) as planted,
        count(*) filter (where is_planted and mark = 'correct') as planted_missed,
        sum(count(*)) over () - count(*) as others_marked,
        sum(count(duration_us)) over () - count(duration_us) as others_opened
    from ranked
    group by reviewer
),
compared as (
    select
        reviewer,
        binomial_tail_high(correct, judged, peer_rate) as p_high,
        binomial_tail_low(correct, judged, peer_rate) as p_low,
        cast(row_number() over (order by reviewer) as bigint) as position
    from rates
    where peer_rate is not null
),
adjusted as (
    select holm(array_agg(p_high order by position)) as p_high_holm, count(*) as reviewers
    from compared
)
select
    r.reviewer,
    r.marked,
    t.judged,
    t.correct,
    cast(t.correct as double) / nullif(t.judged, 0) as value,
    t.peer_rate,
    c.p_high,
    c.p_low,
    a.p_high_holm[c.position] as p_high_holm,
    r.opened,
    cast(r.correct_fast as double) / nullif(r.correct_opened, 0) as fast_share,
    r.median_us / 1000000.0 as median_seconds,
    r.planted,
    r.planted_missed,
    nullif(concat_ws(
        '; ',
        case when t.correct = t.judged and t.judged >= 20 then 'calls everything correct' end,
        case
            when a.p_high_holm[c.position] < 0.05 and t.others_judged >= 20
                then 'finds fewer errors than the others'
        end,
        case
            when c.p_low * a.reviewers < 0.05 and t.others_judged >= 20
                then 'finds more errors than the others'
        end,
        case
            when r.correct_opened >= 5 and r.correct_fast * 2 >= r.correct_opened
                then concat('half or more of the correct ones within ', $fast_seconds, ' s')
        end,
        case
            when r.marked >= 5 and r.opened * 2 < r.marked and r.others_opened * 2 > r.others_marked
                then 'items mostly not opened, unlike the others'
        end,
        case
            when r.planted >= 4 and r.planted_missed * 2 >= r.planted
                then 'half or more of the planted errors missed'
        end
    ), '') as signals
from reviewers as r
inner join rates as t on t.reviewer = r.reviewer
left join compared as c on c.reviewer = r.reviewer
cross join adjusted as a
order by r.reviewer
