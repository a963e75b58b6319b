-- question: Does the agent's work turn out alike for every customer group?
-- grain:    one row per segment of each workflow, and of all workflows together
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  workflow              utf8     null for all together
--           segment               utf8
--           numerator             int64    final decision approved or approved_with_changes
--           denominator           int64    those and rejected; null when under 10, as all that follow
--           value                 float64  numerator / denominator
--           ci_low                float64  Wilson 95 %
--           ci_high               float64
--           reference             utf8     the segment with the highest value
--           ratio                 float64  value / value of the reference; null when that is 0
--           ratio_low             float64  95 % score interval; null for the reference itself
--           ratio_high            float64
--           is_below_four_fifths  boolean  5 x value < 4 x value of the reference, in integers
--           p_value               float64  Fisher, two-sided; null for the reference itself
--           p_holm                float64  adjusted for the segments of the same workflow
--           verdict               utf8     adverse: the interval lies below 0.8; no_evidence: it does not
--                                          reach below 0.8; else inconclusive; null for the reference
--           status                utf8     suppressed (denominator under 10), small_sample or ok
-- needs:    segment, action.decided
-- window:   actions
-- why:      the four-fifths flag alone cries wolf on small groups and sleeps on large ones, so the
--           verdict is the interval's. The reference is the best of the segments with ten decisions or
--           more; of equals the larger, then the first by name. Every segment found is compared, named
--           in the policy or not. A group of under ten is not shown: its people could be recognised.

with decided as (
    select
        case when not g.is_all then a.workflow end as workflow,
        g.is_all,
        a.segment,
        a.final_decision
    from actions as a
    cross join (values (true), (false)) as g (is_all)
    where a.segment is not null
      and a.final_decision in ('approved', 'approved_with_changes', 'rejected')
      and a.cohort_at >= $period_start
      and a.cohort_at < $period_end
      and (g.is_all or a.workflow is not null)
),
counts as (
    select
        is_all,
        workflow,
        segment,
        count(*) filter (where final_decision <> 'rejected') as numerator,
        count(*) as denominator
    from decided
    group by is_all, workflow, segment
),
groups as (
    select
        is_all,
        workflow,
        segment,
        case when denominator >= 10 then numerator end as numerator,
        case when denominator >= 10 then denominator end as denominator,
        case when denominator >= 10 then cast(numerator as double) / denominator end as value
    from counts
),
ranked as (
    select
        is_all,
        workflow,
        segment,
        numerator,
        denominator,
        value,
        first_value(segment) over best_first as reference,
        first_value(numerator) over best_first as reference_numerator,
        first_value(denominator) over best_first as reference_denominator
    from groups
    window best_first as (
        partition by is_all, workflow
        order by value desc nulls last, denominator desc, segment
    )
),
compared as (
    select
        is_all,
        workflow,
        segment,
        numerator,
        denominator,
        value,
        case when denominator is not null then reference end as reference,
        reference_numerator,
        reference_denominator,
        denominator is not null and reference_numerator > 0 as has_ratio,
        case
            when denominator is not null and segment <> reference then fisher_two_sided(
                numerator, denominator, reference_numerator, reference_denominator
            )
        end as p_value
    from ranked
),
families as (
    select
        is_all,
        workflow,
        array_agg(segment order by segment) as segments,
        holm(array_agg(p_value order by segment)) as p_holm
    from compared
    where p_value is not null
    group by is_all, workflow
),
adjusted as (
    select
        is_all,
        workflow,
        unnest(segments) as segment,
        unnest(p_holm) as p_holm
    from families
),
results as (
    select
        c.is_all,
        c.workflow,
        c.segment,
        c.numerator,
        c.denominator,
        c.value,
        c.reference,
        case
            when c.has_ratio
                then c.value / (cast(c.reference_numerator as double) / c.reference_denominator)
        end as ratio,
        case
            when c.has_ratio and c.segment <> c.reference then ratio_low(
                c.numerator, c.denominator, c.reference_numerator, c.reference_denominator
            )
        end as ratio_low,
        case
            when c.has_ratio and c.segment <> c.reference then ratio_high(
                c.numerator, c.denominator, c.reference_numerator, c.reference_denominator
            )
        end as ratio_high,
        case
            when c.has_ratio then is_below_four_fifths(
                c.numerator, c.denominator, c.reference_numerator, c.reference_denominator
            )
        end as is_below_four_fifths,
        c.p_value,
        a.p_holm
    from compared as c
    left join adjusted as a
        on a.is_all = c.is_all
        and (a.workflow is not distinct from c.workflow)
        and a.segment = c.segment
)
select
    workflow,
    segment,
    numerator,
    denominator,
    value,
    case when denominator > 0 then wilson_low(numerator, denominator) end as ci_low,
    case when denominator > 0 then wilson_high(numerator, denominator) end as ci_high,
    reference,
    ratio,
    ratio_low,
    ratio_high,
    is_below_four_fifths,
    p_value,
    p_holm,
    case
        when denominator is null or segment = reference then null
        when ratio_high < 0.8 then 'adverse'
        when ratio_low >= 0.8 then 'no_evidence'
        else 'inconclusive'
    end as verdict,
    case
        when denominator is null then 'suppressed'
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status
from results
order by is_all desc, workflow, segment
