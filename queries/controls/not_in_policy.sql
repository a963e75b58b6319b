-- question: Which workflows and agents are at work that the policy does not know?
-- grain:    one row per policy, workflow and agent with an action.proposed, an action.executed of any
--           outcome or a data.accessed in the period
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the event
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8       of that event
--           seq          int64      of its first event
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       the agent
--           detail       utf8       what was found; null when ok
-- needs:    action.proposed, action.executed or data.accessed, actor_id, a policy with workflows
-- why:      agents and automations; people and systems are no agents, an actor of unknown kind is taken
--           for one. A workflow of the policy without agents admits every agent. Untestable: no policy
--           was applied (the built-in default lists nobody), the access names no workflow, or nobody is
--           named where the policy lists agents.

with workers as (
    select
        p.effective_from as policy_from,
        p.is_default,
        e.workflow,
        e.actor_id,
        min(e.event_order) as first_order
    from events as e
    inner join policies as p
        on e.occurred_at >= p.effective_from and e.occurred_at < p.effective_to
    where e.event_type in ('action.proposed', 'action.executed', 'data.accessed')
      and e.environment = 'production'
      and coalesce(e.actor_kind, 'agent') in ('agent', 'automation')
      and e.occurred_at >= $period_start
      and e.occurred_at < $period_end
    group by p.effective_from, p.is_default, e.workflow, e.actor_id
),
known as (
    select
        w.first_order,
        w.is_default,
        count(*) filter (where r.kind = 'workflow') > 0 as is_workflow_known,
        count(*) filter (where r.kind = 'agent') as agents,
        count(*) filter (where r.kind = 'agent' and r.principal in ('*', w.actor_id)) as matching_agents
    from workers as w
    left join policy_rules as r
        on r.effective_from = w.policy_from
        and r.kind in ('workflow', 'agent')
        and coalesce(r.workflow, r.name) = w.workflow
    group by w.first_order, w.is_default, w.actor_id
),
judged as (
    select
        e.action_id,
        e.seq,
        e.occurred_at,
        e.workflow,
        e.system,
        e.record_type,
        e.record_id,
        e.field,
        e.actor_id as actor,
        k.is_default,
        k.is_workflow_known,
        case
            when k.is_default or e.workflow is null then 'untestable'
            when not k.is_workflow_known then 'violation'
            when k.agents = 0 or k.matching_agents > 0 then 'ok'
            when e.actor_id is null then 'untestable'
            else 'violation'
        end as result
    from known as k
    inner join events as e on e.event_order = k.first_order
)
select
    result,
    action_id,
    seq,
    occurred_at,
    workflow,
    system,
    record_type,
    record_id,
    field,
    actor,
    case
        when result = 'ok' then null
        when is_default then 'no policy was applied that could list workflows and agents'
        when workflow is null then 'the access names no workflow'
        when not is_workflow_known then concat('the policy does not know the workflow ', workflow)
        when actor is null then 'nobody is named, and the policy lists agents for the workflow'
        else concat('the policy does not list ', actor, ' for the workflow ', workflow)
    end as detail
from judged
order by seq
