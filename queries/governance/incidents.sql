-- question: Which incidents were open, and how did their clocks run?
-- grain:    one row per incident open at some time in the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
-- returns:  incident_id  utf8
--           opened_at    timestamp
--           title        utf8       sealed; this and the next two as last stated
--           class        utf8       sealed
--           severity     utf8
--           workflow     utf8
--           state        utf8       draft, open, contained or closed
--           paused_at    timestamp  first pause of the workflow since the opening, or of this incident
--           resumed_at   timestamp  first resumption after that
--           closed_at    timestamp
--           hours_open   float64    to closed_at, while open to as_of
--           is_rule      boolean    opened by an incident rule of the policy
-- needs:    incident.opened, incident.updated, incident.closed, workflow.paused, workflow.resumed
-- why:      a paused workflow contains the incident even when nobody wrote that down.

with statements as (
    select
        incident_id,
        event_type,
        event_order,
        occurred_at,
        workflow,
        json_text(extra, '/title') as title,
        json_text(extra, '/class') as class,
        json_text(extra, '/severity') as severity,
        json_text(extra, '/state') as state,
        json_text(extra, '/rule') as rule
    from events
    where event_type in ('incident.opened', 'incident.updated', 'incident.closed')
      and incident_id is not null
),
register as (
    select
        incident_id,
        coalesce(
            min(occurred_at) filter (where event_type = 'incident.opened'),
            min(occurred_at)
        ) as opened_at,
        max(occurred_at) filter (where event_type = 'incident.closed') as closed_at,
        last_value(title order by event_order) filter (where title is not null) as title,
        last_value(class order by event_order) filter (where class is not null) as class,
        last_value(severity order by event_order) filter (where severity is not null) as severity,
        last_value(workflow order by event_order) filter (where workflow is not null) as workflow,
        last_value(state order by event_order) filter (where state is not null) as state,
        bool_or(rule is not null) as is_rule
    from statements
    group by incident_id
),
pauses as (
    select
        i.incident_id,
        min(e.occurred_at) as paused_at,
        min(e.event_order) as pause_order
    from register as i
    inner join events as e
        on e.incident_id = i.incident_id
        or ((e.workflow = i.workflow or e.workflow is null) and e.occurred_at >= i.opened_at)
    where e.event_type = 'workflow.paused'
      and e.environment = 'production'
      and (i.closed_at is null or e.occurred_at <= i.closed_at)
    group by i.incident_id
),
resumptions as (
    select
        p.incident_id,
        min(e.occurred_at) as resumed_at
    from pauses as p
    inner join register as i on i.incident_id = p.incident_id
    inner join events as e
        on (e.incident_id = i.incident_id or e.workflow = i.workflow or e.workflow is null)
        and e.event_order > p.pause_order
    where e.event_type = 'workflow.resumed'
      and e.environment = 'production'
    group by p.incident_id
)
select
    i.incident_id,
    i.opened_at,
    i.title,
    i.class,
    i.severity,
    i.workflow,
    case
        when i.closed_at is not null then 'closed'
        when i.state = 'draft' then 'draft'
        when i.state = 'contained' or (p.paused_at is not null and r.resumed_at is null) then 'contained'
        else 'open'
    end as state,
    p.paused_at,
    r.resumed_at,
    i.closed_at,
    (cast(coalesce(i.closed_at, $as_of) as bigint) - cast(i.opened_at as bigint)) / 3600000000.0 as hours_open,
    i.is_rule
from register as i
left join pauses as p on p.incident_id = i.incident_id
left join resumptions as r on r.incident_id = i.incident_id
where i.opened_at < $period_end
  and (i.closed_at is null or i.closed_at >= $period_start)
order by i.opened_at, i.incident_id
