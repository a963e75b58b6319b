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

with named as (
    select
        e.workflow,
        k.kind,
        case k.kind
            when 'prompt' then e.prompt_version
            when 'rule' then e.rule_version
            when 'model' then e.model_version
            when 'policy' then e.policy_version
        end as version,
        e.action_id,
        e.occurred_at,
        e.occurred_at >= $period_start and e.occurred_at < $period_end as is_in_period
    from events as e
    cross join (values ('prompt'), ('rule'), ('model'), ('policy')) as k (kind)
    where e.environment = 'production'
      and e.event_type not like 'evidence.%'
      and e.event_type <> 'config.changed'
      and e.occurred_at < $period_end
),
uses as (
    select
        workflow,
        kind,
        version,
        action_id,
        bool_or(is_in_period) as is_in_period,
        min(occurred_at) as first_at,
        max(occurred_at) filter (where is_in_period) as last_at
    from named
    where version is not null
    group by workflow, kind, version, action_id
)
select
    workflow,
    kind,
    version,
    min(first_at) as first_at,
    max(last_at) as last_at,
    count(action_id) filter (where is_in_period) as actions
from uses
group by workflow, kind, version
having bool_or(is_in_period)
order by workflow, kind, first_at, version
