-- question: Who decided on each action, and was that person free and entitled to do so?
-- grain:    one row per event with a decision
-- params:   none
-- returns:  action_id           utf8
--           seq                 int64
--           event_order         decimal(38,0)
--           decided_at          timestamp
--           decision            utf8
--           is_approval         boolean        approved or approved_with_changes
--           decided_by          utf8           the reviewer; else the machine that decided
--           is_by_machine       boolean        an action.decided of agent, automation or system without
--                                              a reviewer
--           is_self_decided     boolean        by the proposer or an agent that executed the action;
--                                              null: who decided is not known, or nobody named is the
--                                              decider and one of these is not named
--           is_authorised       boolean        by the policy then in force, for area, level and
--                                              amount; null: who decided is not known
--           has_approver_rules  boolean        that policy says who may approve
--           payload_hash        utf8
--           policy_from         timestamp      names that policy
--           workflow            utf8           of the action, as the next six
--           permission_area     utf8
--           system              utf8
--           record_type         utf8
--           record_id           utf8
--           field               utf8
--           amount              decimal(18,2)
--           level               int64          as of the decision
-- needs:    action.decided, config.changed
-- why:      an action without action.proposed was proposed by whoever executed it, if it begins with
--           that, else by nobody knows whom. A policy without approver rules entitles every named
--           reviewer, and no policy entitles a machine. A person who executes what an agent proposed and
--           he approved is not the acting agent. An amount that nobody recorded is within every limit;
--           one in another currency than the limit's, or in none, is not.

with deciders as (
    select
        seq,
        coalesce(
            reviewer,
            case
                when event_type = 'action.decided' and actor_kind in ('agent', 'automation', 'system')
                    then actor_id
            end
        ) as decided_by,
        reviewer is null
            and event_type = 'action.decided'
            and coalesce(actor_kind, 'human') <> 'human' as is_by_machine
    from judged_actions
    where phase = 'decision'
),
executing_agents as (
    select
        action_id,
        actor_id
    from judged_actions
    where phase = 'execution'
      and coalesce(actor_kind, 'agent') <> 'human'
    group by action_id, actor_id
),
unnamed_agents as (
    select action_id
    from executing_agents
    where actor_id is null
),
entitled as (
    select
        d.seq,
        count(*) filter (
            where (r.principal = '*' or r.principal = d.reviewer)
              and (r.workflow is null or r.workflow = d.workflow)
              and (r.area is null or r.area = d.permission_area)
              and (r.system is null or r.system = d.system)
              and (r.record_type is null or r.record_type = d.record_type)
              and (r.field is null or r.field = d.field)
              and (r.operation is null or r.operation = d.operation)
              and (r.issue_type is null or r.issue_type = d.issue_type)
              and (r.level is null or r.level = d.level)
              and (
                  r.amount is null
                  or d.amount is null
                  or (d.amount <= r.amount and coalesce(r.currency = coalesce(d.currency, ''), true))
              )
        ) > 0 as is_entitled
    from judged_actions as d
    inner join policy_rules as r on r.effective_from = d.policy_from and r.kind = 'approver'
    where d.phase = 'decision'
    group by d.seq
)
select
    d.action_id,
    d.seq,
    d.event_order,
    d.occurred_at as decided_at,
    d.decision,
    d.decision in ('approved', 'approved_with_changes') as is_approval,
    w.decided_by,
    w.is_by_machine,
    case
        when w.decided_by is null then null
        when w.decided_by = p.actor_id or x.actor_id is not null then true
        when p.actor_id is null or u.action_id is not null then null
        else false
    end as is_self_decided,
    case
        when w.is_by_machine then false
        when w.decided_by is null then null
        else coalesce(r.is_entitled, true)
    end as is_authorised,
    r.seq is not null as has_approver_rules,
    d.payload_hash,
    d.policy_from,
    d.workflow,
    d.permission_area,
    d.system,
    d.record_type,
    d.record_id,
    d.field,
    d.amount,
    d.level
from judged_actions as d
inner join deciders as w on w.seq = d.seq
left join judged_actions as p
    on p.action_id = d.action_id
    and p.phase = 'proposal'
    and p.event_type in ('action.proposed', 'action.executed')
left join executing_agents as x on x.action_id = d.action_id and x.actor_id = w.decided_by
left join unnamed_agents as u on u.action_id = d.action_id
left join entitled as r on r.seq = d.seq
where d.phase = 'decision'
