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
-- needs:    a policy, judged_actions; review.decided, review.marked or action.labeled
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
works as (
    select
        j.workflow,
        j.permission_area as area,
        j.phase,
        j.level,
        j.occurred_at
    from judged_actions as j
    inner join moments as m on j.occurred_at <= m.judged_at
    where j.phase in ('proposal', 'execution')
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
    from (
        select workflow, area, min(occurred_at) as first_at
        from works
        where phase = 'proposal'
        group by workflow, area
    ) as w
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
        r.days,
        max(s.reviewed_at) as last_review_at
    from (
        select workflow, area, level
        from works
        where phase = 'execution'
        group by workflow, area, level
    ) as w
    inner join rules as r on r.kind = 'review_level' and r.level = w.level
    cross join moments as m
    left join sample_reviews as s
        on (s.workflow = w.workflow or s.workflow is null)
        and (s.permission_area = w.area or s.permission_area is null or w.area is null)
        and (s.workflow is not null or s.permission_area is not null)
        and s.reviewed_at <= m.judged_at
    group by w.workflow, w.area, r.days
),
level_reviews as (
    select
        s.workflow,
        s.area,
        s.days,
        s.last_review_at,
        min(w.occurred_at) filter (
            where s.last_review_at is null or w.occurred_at > s.last_review_at
        ) as since_at
    from samples as s
    inner join rules as r on r.kind = 'review_level' and r.days = s.days
    inner join works as w
        on w.phase = 'execution'
        and w.level = r.level
        and w.workflow = s.workflow
        and (w.area is not distinct from s.area)
    group by s.workflow, s.area, s.days, s.last_review_at
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
