-- question: Do two reviewers of the same sample items agree?
-- grain:    one row per pair of reviewers who both marked an item in the period
-- params:   period_start  timestamp
--           period_end    timestamp  half-open
-- returns:  first_reviewer   utf8     of the two, the first in order of name
--           second_reviewer  utf8
--           items            int64    marked by both
--           observed         float64  share marked alike
--           kappa            float64  Cohen; null where undefined
--           ac1              float64  Gwet, which stays sensible when nearly everything is correct
-- needs:    review.marked
-- why:      by the first mark of each on the item, correct or incorrect, before anybody clears anything:
--           reviewers do not see what their colleagues said. To escalate is to leave the judgement to
--           somebody else.

with ordered as (
    select
        review_id,
        reviewer,
        item,
        mark,
        row_number() over (partition by review_id, reviewer, item order by event_order) as position
    from review_marks
    where occurred_at >= $period_start
      and occurred_at < $period_end
      and mark in ('correct', 'incorrect')
),
pairs as (
    select
        f.review_id,
        f.item,
        f.reviewer as first_reviewer,
        s.reviewer as second_reviewer,
        f.mark as first_mark,
        s.mark as second_mark
    from ordered as f
    inner join ordered as s
        on s.review_id = f.review_id
        and s.item = f.item
        and s.reviewer > f.reviewer
    where f.position = 1
      and s.position = 1
),
lists as (
    select
        first_reviewer,
        second_reviewer,
        count(*) as items,
        count(*) filter (where first_mark = second_mark) as equal,
        array_agg(first_mark order by review_id, item) as first_marks,
        array_agg(second_mark order by review_id, item) as second_marks
    from pairs
    group by first_reviewer, second_reviewer
)
select
    first_reviewer,
    second_reviewer,
    items,
    cast(equal as double) / items as observed,
    cohen_kappa(first_marks, second_marks) as kappa,
    gwet_ac1(first_marks, second_marks) as ac1
from lists
order by first_reviewer, second_reviewer
