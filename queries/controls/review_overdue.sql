-- question: Which owners have let a review lapse?
-- grain:    one row per workflow and permission area at work whose owner has a cadence, at the period's
--           end or as_of
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the judgement
--           as_of         timestamp
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8       null
--           seq          int64      null: what is missing is an event
--           occurred_at  timestamp  when it was due
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       the owner
--           detail       utf8       what was found; null when ok
-- needs:    review.decided, a policy with owners and review_days
-- why:      due review_days after the last review.decided of the workflow, and of the area where it
--           names one; or after the first action, or the first policy, whichever is later. By the
--           policy in force at that moment. No owner with a cadence, as in the built-in default:
--           nothing to test. Nothing is untestable.

with moments as (
    select least(
        $as_of,
        arrow_cast($period_end, 'Timestamp(Microsecond, Some("UTC"))') - interval '1 microsecond'
    ) as judged_at
),
works as (
    select
        a.workflow,
        a.permission_area,
        m.judged_at,
        min(a.cohort_at) as first_at
    from actions as a
    inner join moments as m on a.cohort_at <= m.judged_at
    where m.judged_at >= $period_start
    group by a.workflow, a.permission_area, m.judged_at
),
cadences as (
    select
        w.workflow,
        w.permission_area,
        w.judged_at,
        w.first_at,
        first_value(r.days order by r.precedence) as days,
        first_value(r.principal order by r.specificity desc, r.name, r.position) as owner
    from works as w
    inner join policy_rules as r
        on r.kind = 'owner'
        and r.days is not null
        and w.judged_at >= r.effective_from
        and w.judged_at < r.effective_to
        and (r.workflow is null or r.workflow = w.workflow)
        and (r.area is null or r.area = w.permission_area)
    group by w.workflow, w.permission_area, w.judged_at, w.first_at
),
first_policies as (
    select min(effective_from) as effective_from
    from policies
    where not is_default
),
reviews as (
    select
        c.workflow,
        c.permission_area,
        c.judged_at,
        c.days,
        c.owner,
        coalesce(
            max(e.occurred_at),
            greatest(c.first_at, max(f.effective_from))
        ) as last_at,
        max(e.occurred_at) as last_review_at
    from cadences as c
    cross join first_policies as f
    left join events as e
        on e.event_type = 'review.decided'
        and e.environment = 'production'
        and e.workflow = c.workflow
        and (e.permission_area = c.permission_area or e.permission_area is null)
        and e.occurred_at <= c.judged_at
    group by c.workflow, c.permission_area, c.judged_at, c.first_at, c.days, c.owner
),
dues as (
    select
        workflow,
        permission_area,
        judged_at,
        days,
        owner,
        last_review_at,
        last_at + cast(concat(days, ' days') as interval) as due_at
    from reviews
)
select
    case when due_at <= judged_at then 'violation' else 'ok' end as result,
    cast(null as varchar) as action_id,
    cast(null as bigint) as seq,
    due_at as occurred_at,
    workflow,
    cast(null as varchar) as system,
    cast(null as varchar) as record_type,
    cast(null as varchar) as record_id,
    cast(null as varchar) as field,
    owner as actor,
    case
        when due_at <= judged_at then concat(
            coalesce(permission_area, 'the workflow'),
            ' is reviewed every ',
            days,
            ' days; ',
            coalesce('last on ' || to_char(last_review_at, '%Y-%m-%d'), 'it never was')
        )
    end as detail
from dues
order by workflow, permission_area
