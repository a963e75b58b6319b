-- question: Which reviews of the agents' work are done, and which are overdue?
-- grain:    one row per kind, workflow and permission area at work whose owner or level has a cadence, at
--           the period's end or as_of
-- params:   period_end  timestamp
--           as_of       timestamp
-- returns:  workflow        utf8
--           area            utf8
--           kind            utf8       owner: by the owner's review_days; level: by sample_review_days
--           owner           utf8       business owner, else technical; null when the policy names none
--           cadence_days    int64
--           last_review_at  timestamp  owner: review.decided; level: any look at a sample
--           due_at          timestamp  owner: cadence_days after the last review, else after the first
--                                      action or policy; level: after the first execution since
--           state           utf8       done, overdue or never; never is not yet done, and may be due
-- needs:    a policy; action.executed; review.decided, review.marked or action.labeled
-- why:      the same reviews as in the controls review_overdue and level_3_without_sample_review. Work
--           that stands still at a level needs no new sample, so nothing is due there.

with moments as (
    select least(
        $as_of,
        arrow_cast($period_end, 'Timestamp(Microsecond, Some("UTC"))') - interval '1 microsecond'
    ) as judged_at
),
rules as (
    select
        r.kind,
        r.position,
        r.name,
        r.workflow,
        r.area,
        r.level,
        r.principal,
        r.days,
        r.specificity
    from policy_rules as r
    inner join moments as m on r.effective_from <= m.judged_at and r.effective_to > m.judged_at
    where r.kind in ('owner', 'review_level')
),
first_policies as (
    select min(effective_from) as effective_from
    from policies
    where not is_default
),
places as (
    select
        workflow,
        permission_area as area,
        min(cohort_at) as first_at
    from actions
    group by workflow, permission_area
),
owners as (
    select
        w.workflow,
        w.area,
        w.first_at,
        first_value(r.days order by r.specificity desc, r.position) filter (
            where r.days is not null
        ) as days,
        first_value(r.principal order by r.specificity desc, r.name, r.position) as owner
    from places as w
    inner join moments as m on w.first_at <= m.judged_at
    left join rules as r
        on r.kind = 'owner'
        and (r.workflow is null or r.workflow = w.workflow)
        and (r.area is null or r.area = w.area)
    group by w.workflow, w.area, w.first_at
),
owner_reviews as (
    select
        o.workflow,
        o.area,
        o.owner,
        o.days,
        max(e.occurred_at) as last_review_at,
        coalesce(max(e.occurred_at), greatest(o.first_at, max(f.effective_from))) as since_at
    from owners as o
    cross join first_policies as f
    cross join moments as m
    left join events as e
        on e.event_type = 'review.decided'
        and e.environment = 'production'
        and e.workflow = o.workflow
        and (e.permission_area is null or e.permission_area = o.area)
        and e.occurred_at <= m.judged_at
    where o.days is not null
    group by o.workflow, o.area, o.owner, o.days, o.first_at
),
samples as (
    select
        w.workflow,
        w.area,
        max(s.reviewed_at) as last_review_at
    from places as w
    cross join moments as m
    left join sample_reviews as s
        on (s.workflow = w.workflow or s.workflow is null)
        and (s.permission_area = w.area or s.permission_area is null or w.area is null)
        and (s.workflow is not null or s.permission_area is not null)
        and s.reviewed_at <= m.judged_at
    where w.workflow is not null
    group by w.workflow, w.area
),
executions as (
    select
        workflow,
        permission_area as area,
        permission_level,
        system,
        record_type,
        field,
        operation,
        issue_type,
        executed_at as occurred_at
    from actions
    where attempts = 1
      and any_executed
    union all
    select
        a.workflow,
        a.permission_area,
        a.permission_level,
        a.system,
        a.record_type,
        a.field,
        a.operation,
        a.issue_type,
        e.occurred_at
    from actions as a
    inner join action_events as e on e.action_id = a.action_id
    where a.attempts > 1
      and a.any_executed
      and e.event_type = 'action.executed'
      and e.outcome in ('succeeded', 'partial', 'unknown')
),
-- Policies come first: a join without equality holds in memory the side that it names first.
eras as (
    select
        p.effective_from,
        least(p.effective_to, m.judged_at + interval '1 microsecond') as effective_to
    from policies as p
    cross join moments as m
),
timed as (
    select
        e.effective_from,
        x.*
    from eras as e
    inner join executions as x
        on x.occurred_at >= e.effective_from and x.occurred_at < e.effective_to
),
-- A level depends on none but these columns: one ruling for all executions alike.
alike as (
    select
        x.effective_from,
        x.workflow,
        x.area,
        x.permission_level,
        x.system,
        x.record_type,
        x.field,
        x.operation,
        x.issue_type,
        s.last_review_at,
        min(x.occurred_at) filter (
            where s.last_review_at is null or x.occurred_at > s.last_review_at
        ) as since_at
    from samples as s
    inner join timed as x
        on x.workflow = s.workflow
        and (x.area is not distinct from s.area)
    group by
        x.effective_from,
        x.workflow,
        x.area,
        x.permission_level,
        x.system,
        x.record_type,
        x.field,
        x.operation,
        x.issue_type,
        s.last_review_at
),
levels as (
    select
        a.workflow,
        a.area,
        a.last_review_at,
        a.since_at,
        policy_ruling(
            p.document, a.workflow, a.area, a.permission_level, a.system, a.record_type, a.field,
            a.operation, a.issue_type, cast(null as decimal(18, 2)), cast(null as varchar),
            cast(null as varchar)
        )['level'] as level
    from policies as p
    inner join alike as a on a.effective_from = p.effective_from
),
level_reviews as (
    select
        l.workflow,
        l.area,
        r.days,
        l.last_review_at,
        min(l.since_at) as since_at
    from levels as l
    inner join rules as r on r.kind = 'review_level' and r.level = l.level
    group by l.workflow, l.area, r.days, l.last_review_at
),
dues as (
    select
        workflow,
        area,
        'owner' as kind,
        owner,
        days,
        last_review_at,
        since_at + cast(concat(days, ' days') as interval) as due_at
    from owner_reviews
    union all
    select
        l.workflow,
        l.area,
        'level' as kind,
        o.owner,
        l.days,
        l.last_review_at,
        l.since_at + cast(concat(l.days, ' days') as interval) as due_at
    from level_reviews as l
    left join owners as o on o.workflow = l.workflow and (o.area is not distinct from l.area)
)
select
    d.workflow,
    d.area,
    d.kind,
    d.owner,
    d.days as cadence_days,
    d.last_review_at,
    d.due_at,
    case
        when d.last_review_at is null then 'never'
        when d.due_at <= m.judged_at then 'overdue'
        else 'done'
    end as state
from dues as d
cross join moments as m
order by d.workflow, d.area, d.kind
