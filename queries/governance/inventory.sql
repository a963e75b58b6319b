-- question: Which agents work in which workflows, on what, and is that in the policy?
-- grain:    one row per workflow, agent, permission area and level with an event in the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  workflow         utf8
--           agent            utf8       actor_id of an agent or automation; null when not recorded
--           permission_area  utf8
--           level            int64      by the policy's permissions, else as recorded, 1 to 5
--           systems          utf8       systems of record touched, in order of name
--           actions          int64      distinct actions it proposed, evaluated or executed
--           executed         int64      of those, executed: succeeded, partial or unknown
--           first_at         timestamp  in the period
--           last_at          timestamp
--           is_in_policy     boolean    the policy at last_at knows the workflow and admits the agent
--           stage            int64      highest level that policy allows the workflow
--           business_owner   utf8       of workflow and area in that policy
--           technical_owner  utf8
-- needs:    action.proposed, action.evaluated, action.executed or data.accessed
-- window:   actions
-- why:      taken from what happened, never from a list that somebody keeps: an agent nobody
--           registered is a row with is_in_policy false. A workflow of the policy without agents, or
--           with `*`, admits every agent. People and systems are no agents.

with facts as (
    select
        coalesce(a.workflow, e.workflow) as workflow,
        e.actor_id as agent,
        coalesce(a.permission_area, e.permission_area) as permission_area,
        coalesce(j.level, cast(e.permission_level as bigint)) as level,
        coalesce(a.system, e.system) as system,
        case when e.event_type <> 'data.accessed' then e.action_id end as action_id,
        bool_or(coalesce(a.any_executed, false)) as is_executed,
        min(e.occurred_at) as first_at,
        max(e.occurred_at) as last_at
    from events as e
    left join actions as a on a.action_id = e.action_id
    left join judged_actions as j on j.action_id = e.action_id and j.phase = 'proposal'
    where e.environment = 'production'
      and e.event_type in ('action.proposed', 'action.evaluated', 'action.executed', 'data.accessed')
      and coalesce(e.actor_kind, 'agent') in ('agent', 'automation')
      and e.occurred_at >= $period_start
      and e.occurred_at < $period_end
    group by
        coalesce(a.workflow, e.workflow),
        e.actor_id,
        coalesce(a.permission_area, e.permission_area),
        coalesce(j.level, cast(e.permission_level as bigint)),
        coalesce(a.system, e.system),
        case when e.event_type <> 'data.accessed' then e.action_id end
),
uses_of_systems as (
    select
        workflow,
        agent,
        permission_area,
        level,
        system,
        count(action_id) as actions,
        count(action_id) filter (where is_executed) as executed,
        min(first_at) as first_at,
        max(last_at) as last_at
    from facts
    group by workflow, agent, permission_area, level, system
),
uses as (
    select
        workflow,
        agent,
        permission_area,
        level,
        string_agg(system, ', ' order by system) as systems,
        sum(actions) as actions,
        sum(executed) as executed,
        min(first_at) as first_at,
        max(last_at) as last_at
    from uses_of_systems
    group by workflow, agent, permission_area, level
),
rules as (
    select
        kind,
        position,
        name,
        workflow,
        area,
        level,
        principal,
        specificity,
        effective_from,
        effective_to
    from policy_rules
    where kind in ('agent', 'workflow', 'owner')
)
select
    u.workflow,
    u.agent,
    u.permission_area,
    u.level,
    u.systems,
    u.actions,
    u.executed,
    u.first_at,
    u.last_at,
    count(*) filter (where r.kind = 'workflow') > 0
        and (
            count(*) filter (where r.kind = 'agent') = 0
            or count(*) filter (where r.kind = 'agent' and r.principal in ('*', u.agent)) > 0
        ) as is_in_policy,
    max(r.level) filter (where r.kind = 'workflow') as stage,
    first_value(r.principal order by r.specificity desc, r.position) filter (
        where r.kind = 'owner' and r.name = 'business'
    ) as business_owner,
    first_value(r.principal order by r.specificity desc, r.position) filter (
        where r.kind = 'owner' and r.name = 'technical'
    ) as technical_owner
from uses as u
left join rules as r
    on r.effective_from <= u.last_at
    and r.effective_to > u.last_at
    and (r.workflow = u.workflow or (r.kind = 'owner' and r.workflow is null))
    and (r.kind <> 'owner' or r.area is null or r.area = u.permission_area)
group by
    u.workflow,
    u.agent,
    u.permission_area,
    u.level,
    u.systems,
    u.actions,
    u.executed,
    u.first_at,
    u.last_at
order by u.workflow, u.agent, u.permission_area, u.level
