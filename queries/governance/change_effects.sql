-- question: Did the numbers move when the configuration was changed?
-- grain:    one row per config.changed that took effect in the period and metric; always all five
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30  days that a correction may take
--           window_days    int64      = 28  compared before and after the change
-- returns:  seq                 int64    of the change
--           changed_at          timestamp  of a policy its effective_from, else occurred_at
--           what                utf8     sealed; kind and new version
--           metric              utf8     routing_exception_rate, approval_rate, rejection_rate,
--                                        false_discovery_rate or execution_failure_rate
--           workflow            utf8     of the change; null for all
--           before_numerator    int64    cohort events in the window up to the change
--           before_denominator  int64
--           before_value        float64  null when nothing is in it
--           after_numerator     int64    cohort events in the window from the change on
--           after_denominator   int64
--           after_value         float64
--           difference          float64  after less before
--           difference_low      float64  Newcombe 95 %
--           difference_high     float64
--           p_value             float64  Fisher, two-sided, not adjusted for the number of rows
--           other_changes       int64    more changes to the workflow in the two windows
--           status              utf8     no_data, immature, small_sample or ok
-- needs:    config.changed, and what the metrics need
-- window:   reviews
-- why:      a policy judges from its effective_from on, whenever it was applied: around that instant the
--           numbers may move, and in its period the change is listed. One that never was in force, since
--           a later one replaced it, counts at its application. A difference is no cause: with
--           other_changes above 0 nobody can tell which of them it was. Each window is a period of its
--           own for its metric. immature: the window after the change, and the maturity where
--           corrections count, is not over. Keys of the ledger and tokens of the server are no
--           settings that agents work by.

with configurations as (
    select
        e.seq,
        coalesce(p.effective_from, e.occurred_at) as changed_at,
        concat_ws(
            ' ', e.field, case when e.field = 'policy' then e.policy_version else e.new_value end
        ) as what,
        e.workflow
    from events as e
    left join policies as p
        on p.applied_at = e.occurred_at
        and p.document = e.new_value
        and p.version = coalesce(e.policy_version, e.event_id)
        and e.field = 'policy'
        and e.source = 'probity'
    where e.event_type = 'config.changed'
      and e.environment = 'production'
      and not (e.source = 'probity' and coalesce(e.field, '') in ('access_token', 'ledger.key'))
),
changed as (
    select
        c.seq,
        c.changed_at,
        c.what,
        c.workflow,
        c.changed_at - cast(concat($window_days, ' days') as interval) as window_start,
        c.changed_at + cast(concat($window_days, ' days') as interval) as window_end
    from configurations as c
    where c.changed_at >= $period_start
      and c.changed_at < $period_end
),
neighbours as (
    select
        c.seq,
        count(*) as other_changes
    from changed as c
    inner join configurations as o
        on o.seq <> c.seq
        and o.changed_at >= c.window_start
        and o.changed_at < c.window_end
        and (o.workflow is null or c.workflow is null or o.workflow = c.workflow)
    group by c.seq
),
reviews as (
    select
        c.seq,
        r.reviewed_at >= c.changed_at as is_after,
        r.system,
        r.record_type,
        r.record_id,
        min(r.reviewed_at) as reviewed_at,
        min(r.event_order) as review_order
    from changed as c
    inner join reviewed as r
        on r.reviewed_at >= c.window_start
        and r.reviewed_at < c.window_end
        and (c.workflow is null or r.workflow = c.workflow)
    group by c.seq, r.reviewed_at >= c.changed_at, r.system, r.record_type, r.record_id
),
facts as (
    select
        r.seq,
        r.is_after,
        'routing_exception_rate' as metric,
        count(x.kind) > 0 as is_hit,
        true as is_counted
    from reviews as r
    left join exceptions as x
        on x.system = r.system
        and x.record_type = r.record_type
        and x.record_id = r.record_id
        and x.event_order > r.review_order
        and x.occurred_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    group by r.seq, r.is_after, r.review_order
    union all
    select
        c.seq,
        a.cohort_at >= c.changed_at as is_after,
        m.metric,
        case m.metric
            when 'approval_rate' then a.final_decision in ('approved', 'approved_with_changes')
            when 'rejection_rate' then a.final_decision = 'rejected'
            when 'execution_failure_rate' then a.last_attempt_outcome <> 'succeeded'
        end as is_hit,
        case m.metric
            when 'execution_failure_rate' then a.any_attempted
            else a.final_decision in ('approved', 'approved_with_changes', 'rejected')
        end as is_counted
    from changed as c
    inner join actions as a
        on a.cohort_at >= c.window_start
        and a.cohort_at < c.window_end
        and (c.workflow is null or a.workflow = c.workflow)
    cross join (
        values ('approval_rate'), ('rejection_rate'), ('execution_failure_rate')
    ) as m (metric)
    union all
    select
        c.seq,
        v.cohort_at >= c.changed_at as is_after,
        'false_discovery_rate' as metric,
        v.verdict = 'false_positive' as is_hit,
        v.verdict in ('true_positive', 'false_positive') or (
            v.verdict is null
            and v.corrected_at < v.cohort_at + cast(concat($maturity_days, ' days') as interval)
        ) as is_counted
    from changed as c
    inner join verdicts as v
        on v.cohort_at >= c.window_start
        and v.cohort_at < c.window_end
        and (c.workflow is null or v.workflow = c.workflow)
),
counts as (
    select
        seq,
        metric,
        count(*) filter (where is_hit and not is_after) as before_numerator,
        count(*) filter (where not is_after) as before_denominator,
        count(*) filter (where is_hit and is_after) as after_numerator,
        count(*) filter (where is_after) as after_denominator
    from facts
    where is_counted
    group by seq, metric
),
compared as (
    select
        c.seq,
        c.changed_at,
        c.what,
        m.position,
        m.metric,
        c.workflow,
        coalesce(n.before_numerator, 0) as before_numerator,
        coalesce(n.before_denominator, 0) as before_denominator,
        coalesce(n.after_numerator, 0) as after_numerator,
        coalesce(n.after_denominator, 0) as after_denominator,
        coalesce(n.before_denominator > 0 and n.after_denominator > 0, false) as is_comparable,
        c.window_end + case
            when m.is_slow then cast(concat($maturity_days, ' days') as interval)
            else cast('0 days' as interval)
        end as mature_at
    from changed as c
    cross join (
        values
            (1, 'routing_exception_rate', true), (2, 'approval_rate', false),
            (3, 'rejection_rate', false), (4, 'false_discovery_rate', true),
            (5, 'execution_failure_rate', false)
    ) as m (position, metric, is_slow)
    left join counts as n on n.seq = c.seq and n.metric = m.metric
)
select
    c.seq,
    c.changed_at,
    c.what,
    c.metric,
    c.workflow,
    c.before_numerator,
    c.before_denominator,
    cast(c.before_numerator as double) / nullif(c.before_denominator, 0) as before_value,
    c.after_numerator,
    c.after_denominator,
    cast(c.after_numerator as double) / nullif(c.after_denominator, 0) as after_value,
    cast(c.after_numerator as double) / nullif(c.after_denominator, 0)
        - cast(c.before_numerator as double) / nullif(c.before_denominator, 0) as difference,
    case when c.is_comparable then newcombe_low(
        c.after_numerator, c.after_denominator, c.before_numerator, c.before_denominator
    ) end as difference_low,
    case when c.is_comparable then newcombe_high(
        c.after_numerator, c.after_denominator, c.before_numerator, c.before_denominator
    ) end as difference_high,
    case when c.is_comparable then fisher_two_sided(
        c.after_numerator, c.after_denominator, c.before_numerator, c.before_denominator
    ) end as p_value,
    coalesce(o.other_changes, 0) as other_changes,
    case
        when not c.is_comparable then 'no_data'
        when c.mature_at > $as_of then 'immature'
        when c.before_denominator < 30 or c.after_denominator < 30 then 'small_sample'
        else 'ok'
    end as status
from compared as c
left join neighbours as o on o.seq = c.seq
order by c.changed_at, c.seq, c.position
