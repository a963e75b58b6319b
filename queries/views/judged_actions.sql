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
--           rule that a matching one outranks cannot. `policy_ruling` says so for one action: joined with
--           rules, every row would meet every rule.

-- Policies and phases come first: a join without equality holds in memory the side that it names first.
with timed_events as (
    select
        e.*,
        p.version as policy_version,
        p.effective_from as policy_from,
        p.is_default as is_default_policy,
        p.document
    from policies as p
    inner join action_events as e
        on e.occurred_at >= p.effective_from and e.occurred_at < p.effective_to
),
told as (
    select
        a.action_id,
        a.proposal_order,
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
        e.policy_version,
        e.policy_from,
        e.is_default_policy,
        policy_ruling(
            e.document, a.workflow, a.permission_area, a.permission_level, a.system, a.record_type,
            a.field, a.operation, a.issue_type, a.amount, a.currency, a.policy_outcome
        ) as ruling
    from actions as a
    inner join timed_events as e on e.action_id = a.action_id
),
judged as (
    select
        g.phase,
        t.*
    from (values ('proposal'), ('decision'), ('execution')) as g (phase)
    cross join told as t
    where case g.phase
        when 'proposal' then t.event_order = t.proposal_order
        when 'decision' then t.decision is not null
        else t.event_type = 'action.executed' and t.outcome in ('succeeded', 'partial', 'unknown')
    end
)
select
    phase,
    action_id,
    seq,
    event_order,
    occurred_at,
    event_type,
    actor_kind,
    actor_id,
    payload_hash,
    decision,
    reviewer,
    outcome,
    run_id,
    workflow,
    permission_area,
    system,
    record_type,
    record_id,
    field,
    operation,
    issue_type,
    amount,
    currency,
    confidence,
    threshold,
    policy_outcome,
    policy_version,
    policy_from,
    is_default_policy,
    ruling['level'] as level,
    ruling['is_level_in_need'] as is_level_in_need,
    ruling['needs_approval'] as needs_approval,
    ruling['because'] as needed_because
from judged
