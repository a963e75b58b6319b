-- question: Which sample reviews were planned, marked or decided in the period, and how do they stand?
-- grain:    one row per review with an event in the period
-- params:   period_start  timestamp
--           period_end    timestamp  half-open
-- returns:  review_id    utf8
--           planned_at   timestamp
--           workflow     utf8
--           area         utf8       null: of several areas
--           purpose      utf8       re_enable or cadence
--           attempt      int64      of the workflow for this purpose, since its last ENABLE
--           claim        utf8       the error rate that is to be excluded
--           frame        int64      outputs that are judged
--           marks        int64      until period_end, those that were taken back included
--           decision     utf8       as signed last; this and the next four are null before
--           reviewed     int64      items counted
--           wrong        int64
--           e            utf8       evidence for the claim, as signed
--           signed_by    utf8
--           decided_at   timestamp
--           resumed_at   timestamp  the workflow runs again
--           state        utf8       planned, drawn, extended or closed, at period_end
-- needs:    review.planned, review.drawn, review.marked, review.decided, workflow.resumed
-- why:      as the events state it; `probity review verify` computes it again. A review that nobody
--           signed promises nothing, whatever its marks are.

with statements as (
    select
        review_id,
        event_type,
        event_order,
        occurred_at,
        workflow,
        permission_area,
        actor_id,
        case when event_type in ('review.planned', 'review.decided') then extra end as extra
    from events
    where source = 'probity'
      and review_id is not null
      and event_type in (
          'review.planned', 'review.drawn', 'review.marked', 'review.decided', 'workflow.resumed'
      )
      and occurred_at < $period_end
),
plans as (
    select
        review_id,
        occurred_at as planned_at,
        workflow,
        permission_area,
        json_text(extra, '/purpose') as purpose,
        try_cast(json_text(extra, '/plan/attempt') as bigint) as attempt,
        json_text(extra, '/plan/claim/below') as claim,
        try_cast(json_text(extra, '/plan/frame/items') as bigint) as frame,
        row_number() over (partition by review_id order by event_order) as position
    from statements
    where event_type = 'review.planned'
),
conclusions as (
    select
        review_id,
        occurred_at as decided_at,
        actor_id as signed_by,
        json_text(extra, '/status/decision') as decision,
        try_cast(json_text(extra, '/status/n') as bigint) as reviewed,
        try_cast(json_text(extra, '/status/k') as bigint) as wrong,
        json_text(extra, '/status/e') as e,
        row_number() over (partition by review_id order by event_order desc) as position
    from statements
    where event_type = 'review.decided'
),
courses as (
    select
        review_id,
        count(*) filter (where event_type = 'review.marked') as marks,
        count(*) filter (where event_type = 'review.drawn') as draws,
        min(occurred_at) filter (where event_type = 'workflow.resumed') as resumed_at,
        max(occurred_at) as last_at
    from statements
    group by review_id
)
select
    p.review_id,
    p.planned_at,
    p.workflow,
    p.permission_area as area,
    p.purpose,
    p.attempt,
    p.claim,
    p.frame,
    c.marks,
    d.decision,
    d.reviewed,
    d.wrong,
    d.e,
    d.signed_by,
    d.decided_at,
    c.resumed_at,
    case
        when d.decision in ('EXTEND', 'CENSUS') then 'extended'
        when d.decision is not null then 'closed'
        when c.draws > 0 then 'drawn'
        else 'planned'
    end as state
from plans as p
inner join courses as c on c.review_id = p.review_id
left join conclusions as d on d.review_id = p.review_id and d.position = 1
where p.position = 1
  and c.last_at >= $period_start
order by p.planned_at, p.review_id
