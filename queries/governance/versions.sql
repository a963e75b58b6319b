-- question: Which versions of prompts, rules, models and the policy were at work?
-- grain:    one row per workflow, kind and version with an event in the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  workflow  utf8
--           kind      utf8       model, policy, prompt or rule
--           version   utf8
--           first_at  timestamp  first event that names it, in the whole log
--           last_at   timestamp  last event that names it, in the period
--           actions   int64      distinct actions that name it in the period
-- needs:    prompt_version, rule_version, model_version, policy_version
-- why:      the versions on the events themselves: a version that nobody declared as a change shows
--           here all the same, and not in `changes`.

with combinations as (
    select
        workflow,
        prompt_version,
        rule_version,
        model_version,
        policy_version,
        min(occurred_at) as first_at,
        max(occurred_at) filter (where occurred_at >= $period_start) as last_at
    from events
    where environment = 'production'
      and event_type not like 'evidence.%'
      and event_type <> 'config.changed'
      and occurred_at < $period_end
    group by workflow, prompt_version, rule_version, model_version, policy_version
),
seen as (
    select
        c.workflow,
        k.kind,
        case k.kind
            when 'prompt' then c.prompt_version
            when 'rule' then c.rule_version
            when 'model' then c.model_version
            when 'policy' then c.policy_version
        end as version,
        c.first_at,
        c.last_at
    from combinations as c
    cross join (values ('prompt'), ('rule'), ('model'), ('policy')) as k (kind)
),
at_work as (
    select
        workflow,
        kind,
        version,
        min(first_at) as first_at,
        max(last_at) as last_at
    from seen
    where version is not null
    group by workflow, kind, version
    having max(last_at) is not null
),
uses as (
    select
        e.workflow,
        k.kind,
        case k.kind
            when 'prompt' then e.prompt_version
            when 'rule' then e.rule_version
            when 'model' then e.model_version
            when 'policy' then e.policy_version
        end as version,
        e.action_id
    from events as e
    cross join (values ('prompt'), ('rule'), ('model'), ('policy')) as k (kind)
    where e.environment = 'production'
      and e.event_type not like 'evidence.%'
      and e.event_type <> 'config.changed'
      and e.occurred_at >= $period_start
      and e.occurred_at < $period_end
      and e.action_id is not null
),
actions_of_versions as (
    select
        workflow,
        kind,
        version,
        count(distinct action_id) as actions
    from uses
    where version is not null
    group by workflow, kind, version
)
select
    w.workflow,
    w.kind,
    w.version,
    w.first_at,
    w.last_at,
    coalesce(u.actions, 0) as actions
from at_work as w
left join actions_of_versions as u
    on u.kind = w.kind and u.version = w.version and u.workflow is not distinct from w.workflow
order by w.workflow, w.kind, w.first_at, w.version
