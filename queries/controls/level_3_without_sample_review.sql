-- question: Where did nobody look at a sample of the work that runs by itself?
-- grain:    one row per workflow, permission area and cadence period with an execution at level 3, once
--           its review is due
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the first execution
--           as_of         timestamp
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8       of that execution
--           seq          int64      of the first execution of the period
--           occurred_at  timestamp  of that execution
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       null: nobody did it
--           detail       utf8       what was found; null when ok
-- needs:    action.executed, permission_level or a permission rule, review.marked, review.decided or
--           action.labeled
-- window:   actions
-- why:      periods have the length of the policy's sample_review_days for level 3 (a week by the
--           built-in default, Monday to Sunday); a review counts from the first execution of a period
--           until the end of the next one, when it is due (in microseconds since 1970, whose first
--           Monday is 345600000000). A policy without that cadence leaves nothing to test. Untestable:
--           no level is known in the period and nobody looked; where somebody did, it is left out.

with executions as (
    select
        j.seq,
        j.event_order,
        j.occurred_at,
        j.action_id,
        j.workflow,
        j.permission_area,
        j.level,
        r.days,
        (cast(j.occurred_at as bigint) - 345600000000) / (r.days * 86400000000) as period_number
    from judged_actions as j
    inner join policy_rules as r
        on r.effective_from = j.policy_from and r.kind = 'review_level' and r.level = 3
    where j.phase = 'execution'
      and (j.level = 3 or j.level is null)
),
periods as (
    select
        workflow,
        permission_area,
        max(level) as level,
        days,
        coalesce(min(event_order) filter (where level = 3), min(event_order)) as first_order,
        coalesce(min(occurred_at) filter (where level = 3), min(occurred_at)) as first_at,
        count(*) as executions,
        345600000000 + (period_number + 2) * days * 86400000000 as due_us
    from executions
    group by workflow, permission_area, days, period_number
),
reviewed_periods as (
    select
        p.workflow,
        p.permission_area,
        p.level,
        p.days,
        p.first_order,
        p.first_at,
        p.executions,
        count(r.seq) > 0 as is_reviewed
    from periods as p
    left join sample_reviews as r
        on (r.workflow = p.workflow or r.workflow is null)
        and (r.permission_area = p.permission_area or r.permission_area is null or p.permission_area is null)
        and (r.workflow is not null or r.permission_area is not null)
        and r.event_order > p.first_order
        and cast(r.reviewed_at as bigint) < p.due_us
    where p.due_us <= cast(arrow_cast($as_of, 'Timestamp(Microsecond, Some("UTC"))') as bigint)
      and p.first_at >= $period_start
      and p.first_at < $period_end
    group by p.workflow, p.permission_area, p.level, p.days, p.first_order, p.first_at, p.executions
)
select
    case
        when p.is_reviewed then 'ok'
        when p.level is null then 'untestable'
        else 'violation'
    end as result,
    x.action_id,
    x.seq,
    p.first_at as occurred_at,
    p.workflow,
    cast(null as varchar) as system,
    cast(null as varchar) as record_type,
    cast(null as varchar) as record_id,
    cast(null as varchar) as field,
    cast(null as varchar) as actor,
    case
        when p.is_reviewed then null
        else concat(
            p.executions,
            case when p.executions = 1 then ' execution at ' else ' executions at ' end,
            coalesce('level ' || p.level, 'an unknown level'),
            coalesce(' in ' || p.permission_area, ''),
            ' without a sample review in its ',
            p.days,
            ' days or the next'
        )
    end as detail
from reviewed_periods as p
inner join executions as x on x.event_order = p.first_order
where p.level = 3 or not p.is_reviewed
order by x.seq
