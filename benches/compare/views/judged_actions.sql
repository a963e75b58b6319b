-- What the policy asked of each proposal, decision and execution, in SQL alone: other engines have no policy_ruling().
-- Same rows and columns as queries/views/judged_actions.sql; here every row meets every rule of its policy.

with judged as (
    select
        g.phase,
        e.action_id,
        e.seq,
        e.event_order,
        e.occurred_at,
        e.event_type,
        e.actor_kind,
        e.actor_id,
        e.payload_hash,
        e.decision,
        e.reviewer,
        e.outcome,
        a.run_id,
        a.workflow,
        a.permission_area,
        a.permission_level,
        a.system,
        a.record_type,
        a.record_id,
        a.field,
        a.operation,
        a.issue_type,
        a.amount,
        a.currency,
        a.confidence,
        a.threshold,
        a.policy_outcome,
        p.version as policy_version,
        p.effective_from as policy_from,
        p.is_default as is_default_policy
    from action_events as e
    inner join actions as a on a.action_id = e.action_id
    inner join policies as p
        on e.occurred_at >= p.effective_from and e.occurred_at < p.effective_to
    cross join (values ('proposal'), ('decision'), ('execution')) as g (phase)
    where case g.phase
        when 'proposal' then e.event_order = a.proposal_order
        when 'decision' then e.decision is not null
        else e.event_type = 'action.executed' and e.outcome in ('succeeded', 'partial', 'unknown')
    end
),
approval_levels as (
    select
        effective_from,
        array_agg(level) as levels
    from policy_rules
    where kind = 'approval_level'
    group by effective_from
),
matches as (
    select
        j.phase,
        j.seq,
        r.kind,
        r.precedence,
        r.kind = 'approval_required' or array_has(l.levels, r.level) as is_asking,
        (r.workflow is null or r.workflow = j.workflow)
            and (r.area is null or r.area = j.permission_area)
            and (r.system is null or r.system = j.system)
            and (r.record_type is null or r.record_type = j.record_type)
            and (r.field is null or r.field = j.field)
            and (r.operation is null or r.operation = j.operation)
            and (r.issue_type is null or r.issue_type = j.issue_type)
            and (
                r.amount is null
                or j.amount >= r.amount
                or (j.amount is not null and coalesce(r.currency <> coalesce(j.currency, ''), false))
            ) as is_match
    from judged as j
    inner join policy_rules as r
        on r.effective_from = j.policy_from and r.kind in ('permission', 'approval_required')
    left join approval_levels as l on l.effective_from = r.effective_from
),
rulings as (
    select
        phase,
        seq,
        min(precedence) filter (where kind = 'permission' and is_match) as permission,
        min(precedence) filter (
            where kind = 'permission' and is_match is null and is_asking
        ) as possible_permission,
        min(precedence) filter (where kind = 'approval_required' and is_match) as requirement,
        min(precedence) filter (
            where kind = 'approval_required' and is_match is null
        ) as possible_requirement
    from matches
    where is_match is not false
    group by phase, seq
),
reasons as (
    select
        j.phase,
        j.seq,
        coalesce(p.level, cast(j.permission_level as bigint)) as level,
        j.policy_outcome = 'approval_required' as is_asked_by_agent,
        q.name as rule_name,
        r.possible_requirement is not null as may_be_required,
        case
            when l.levels is null then false
            when array_has(l.levels, coalesce(p.level, cast(j.permission_level as bigint))) then true
            when coalesce(r.possible_permission < r.permission, r.possible_permission is not null)
                then null
            else array_has(l.levels, coalesce(p.level, cast(j.permission_level as bigint)))
        end as is_level_in_need
    from judged as j
    left join rulings as r on r.phase = j.phase and r.seq = j.seq
    left join policy_rules as p
        on p.effective_from = j.policy_from and p.kind = 'permission' and p.precedence = r.permission
    left join policy_rules as q
        on q.effective_from = j.policy_from
        and q.kind = 'approval_required'
        and q.precedence = r.requirement
    left join approval_levels as l on l.effective_from = j.policy_from
)
select
    j.phase,
    j.action_id,
    j.seq,
    j.event_order,
    j.occurred_at,
    j.event_type,
    j.actor_kind,
    j.actor_id,
    j.payload_hash,
    j.decision,
    j.reviewer,
    j.outcome,
    j.run_id,
    j.workflow,
    j.permission_area,
    j.system,
    j.record_type,
    j.record_id,
    j.field,
    j.operation,
    j.issue_type,
    j.amount,
    j.currency,
    j.confidence,
    j.threshold,
    j.policy_outcome,
    j.policy_version,
    j.policy_from,
    j.is_default_policy,
    r.level,
    r.is_level_in_need,
    case
        when r.is_asked_by_agent or r.rule_name is not null or r.is_level_in_need then true
        when r.may_be_required then null
        else r.is_level_in_need
    end as needs_approval,
    nullif(
        concat_ws(
            '; ',
            case when r.is_asked_by_agent then 'policy_outcome approval_required' end,
            case when r.is_level_in_need then concat('level ', r.level) end,
            r.rule_name
        ),
        ''
    ) as needed_because
from judged as j
inner join reasons as r on r.phase = j.phase and r.seq = j.seq
