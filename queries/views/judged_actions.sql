-- question: What did the policy of the moment ask of each proposal, decision and execution?
-- grain:    one row per action and phase: its proposal, each decision, each execution with outcome
--           succeeded, partial or unknown; one event may be all three
-- params:   none
-- returns:  phase              utf8           proposal, decision or execution
--           action_id          utf8
--           seq                int64          of the event, as the next seven
--           event_order        decimal(38,0)
--           occurred_at        timestamp
--           event_type         utf8
--           actor_kind         utf8
--           actor_id           utf8
--           payload_hash       utf8
--           decision           utf8
--           reviewer           utf8
--           outcome            utf8
--           run_id             utf8           of the action, as the columns to policy_outcome
--           workflow           utf8
--           permission_area    utf8
--           system             utf8
--           record_type        utf8
--           record_id          utf8
--           field              utf8
--           operation          utf8
--           issue_type         utf8
--           amount             decimal(18,2)
--           currency           utf8
--           confidence         float64
--           threshold          float64
--           policy_outcome     utf8
--           policy_version     utf8           in force at occurred_at
--           policy_from        timestamp      effective_from of that policy
--           is_default_policy  boolean
--           level              int64          by the policy's permissions, else as recorded
--           is_level_in_need   boolean        the policy asks approval for that level; null: not known
--           needs_approval     boolean        by agent, level or rule; null: not known
--           needed_because     utf8           in words: by the agent, the level, the rule that wins
-- needs:    action.proposed, action.decided, action.executed, config.changed
-- why:      the policy's permission rule outranks the level that the agent reports of itself. A rule
--           with a least amount in another currency than the action's, or where the action names none,
--           applies: it cannot be compared. A rule that names what is missing in the action may apply:
--           where it would ask for approval and nothing else does, the need is not known. A permission
--           rule that a matching one outranks cannot.

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
    from events as e
    inner join actions as a on a.action_id = e.action_id
    inner join policies as p
        on e.occurred_at >= p.effective_from and e.occurred_at < p.effective_to
    cross join (values ('proposal'), ('decision'), ('execution')) as g (phase)
    where e.environment = 'production'
      and e.event_type not like 'evidence.%'
      and case g.phase
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
