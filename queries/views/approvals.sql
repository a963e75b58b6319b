-- question: Had each execution a valid approval?
-- grain:    one row per action.executed with outcome succeeded, partial or unknown
-- params:   none
-- returns:  action_id              utf8
--           seq                    int64
--           event_order            decimal(38,0)
--           executed_at            timestamp
--           executed_by            utf8
--           executed_by_kind       utf8
--           payload_hash           utf8
--           run_id                 utf8           of the action, as the next ten
--           workflow               utf8
--           permission_area        utf8
--           system                 utf8
--           record_type            utf8
--           record_id              utf8
--           field                  utf8
--           operation              utf8
--           issue_type             utf8
--           confidence             float64
--           threshold              float64
--           policy_from            timestamp      names the policy in force at executed_at
--           level                  int64
--           is_level_in_need       boolean        null: not known, as the next
--           needs_approval         boolean
--           needed_because         utf8
--           decision               utf8           the last before the execution, as the next ones
--           decision_seq           int64
--           decided_at             timestamp
--           decided_by             utf8
--           is_decided_by_machine  boolean
--           is_approved            boolean        false without a decision
--           is_recorded_late       boolean        decided earlier, recorded after the execution
--           decision_payload_hash  utf8
--           use_number             int64          1 for the first execution under that decision
--           status                 utf8           valid; missing, not_approved, recorded_late,
--                                                 self_approved, not_authorised, payload_differs,
--                                                 reused or unprovable: the first that holds
-- needs:    action.decided, action.executed, payload_hash, reviewer, config.changed
-- why:      whether an approval was needed and whether there was a valid one are two questions. An
--           approval without a hash, by nobody knows whom, or of a change by nobody knows whom proves
--           nothing. The first execution may use it, a second may not. Its age is a question of its own:
--           expired_approval_used.

with executions as (
    select
        x.seq,
        max(d.event_order) as decision_order
    from judged_actions as x
    left join decisions as d on d.action_id = x.action_id and d.event_order <= x.event_order
    where x.phase = 'execution'
    group by x.seq
),
decided as (
    select
        x.action_id,
        x.seq,
        x.event_order,
        x.occurred_at as executed_at,
        x.actor_id as executed_by,
        x.actor_kind as executed_by_kind,
        x.payload_hash,
        x.run_id,
        x.workflow,
        x.permission_area,
        x.system,
        x.record_type,
        x.record_id,
        x.field,
        x.operation,
        x.issue_type,
        x.confidence,
        x.threshold,
        x.policy_from,
        x.level,
        x.is_level_in_need,
        x.needs_approval,
        x.needed_because,
        d.decision,
        d.seq as decision_seq,
        d.decided_at,
        d.decided_by,
        d.is_by_machine as is_decided_by_machine,
        d.is_self_decided,
        d.is_authorised,
        coalesce(d.is_approval, false) as is_approved,
        coalesce(d.seq > x.seq, false) as is_recorded_late,
        d.payload_hash as decision_payload_hash,
        row_number() over (partition by l.decision_order order by x.event_order) as use_number
    from judged_actions as x
    inner join executions as l on l.seq = x.seq
    left join decisions as d on d.action_id = x.action_id and d.event_order = l.decision_order
    where x.phase = 'execution'
)
select
    action_id,
    seq,
    event_order,
    executed_at,
    executed_by,
    executed_by_kind,
    payload_hash,
    run_id,
    workflow,
    permission_area,
    system,
    record_type,
    record_id,
    field,
    operation,
    issue_type,
    confidence,
    threshold,
    policy_from,
    level,
    is_level_in_need,
    needs_approval,
    needed_because,
    decision,
    decision_seq,
    decided_at,
    decided_by,
    is_decided_by_machine,
    is_approved,
    is_recorded_late,
    decision_payload_hash,
    case when decision is not null then cast(use_number as bigint) end as use_number,
    case
        when decision is null then 'missing'
        when not is_approved then 'not_approved'
        when is_recorded_late then 'recorded_late'
        when is_self_decided then 'self_approved'
        when not is_authorised then 'not_authorised'
        when decision_payload_hash <> payload_hash then 'payload_differs'
        when use_number > 1 then 'reused'
        when decision_payload_hash is null or payload_hash is null or is_self_decided is null
            then 'unprovable'
        else 'valid'
    end as status
from decided
