-- question: Which reads at level 1 do not say what was read?
-- grain:    one row per data.accessed that was not denied and per proposal, at level 1
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the read
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8
--           seq          int64      of the data.accessed or the proposal
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       who read
--           detail       utf8       what was found; null when ok
-- needs:    data.accessed, action.proposed, inputs, permission_level or a permission rule
-- window:   actions
-- why:      a read-only agent is believed by its sources: `inputs`, or the record that a data.accessed
--           names. Untestable: the level is not known and nothing is cited; with a citation the level
--           does not matter and the read is left out.

with accesses as (
    select
        e.seq,
        e.action_id,
        e.occurred_at,
        e.workflow,
        e.system,
        e.record_type,
        e.record_id,
        e.field,
        e.actor_id as actor,
        max(cast(e.permission_level as bigint)) as recorded_level,
        first_value(r.level order by r.precedence) as level_by_policy,
        bool_or(
            e.inputs is not null
            or (e.system is not null and e.record_type is not null and e.record_id is not null)
        ) as is_cited
    from events as e
    inner join policies as p
        on e.occurred_at >= p.effective_from and e.occurred_at < p.effective_to
    left join policy_rules as r
        on r.effective_from = p.effective_from
        and r.kind = 'permission'
        and (r.workflow is null or r.workflow = e.workflow)
        and (r.area is null or r.area = e.permission_area)
        and (r.system is null or r.system = e.system)
        and (r.record_type is null or r.record_type = e.record_type)
        and (r.field is null or r.field = e.field)
        and (r.operation is null or r.operation = e.operation)
        and (r.issue_type is null or r.issue_type = e.issue_type)
    where e.event_type = 'data.accessed'
      and e.environment = 'production'
      and coalesce(e.outcome, 'succeeded') <> 'denied'
    group by
        e.seq,
        e.action_id,
        e.occurred_at,
        e.workflow,
        e.system,
        e.record_type,
        e.record_id,
        e.field,
        e.actor_id
),
reads as (
    select
        seq,
        action_id,
        occurred_at,
        workflow,
        system,
        record_type,
        record_id,
        field,
        actor,
        coalesce(level_by_policy, recorded_level) as level,
        is_cited
    from accesses
    union all
    select
        j.seq,
        j.action_id,
        j.occurred_at,
        j.workflow,
        j.system,
        j.record_type,
        j.record_id,
        j.field,
        j.actor_id as actor,
        j.level,
        a.inputs is not null as is_cited
    from judged_actions as j
    inner join actions as a on a.action_id = j.action_id
    where j.phase = 'proposal'
)
select
    case
        when is_cited then 'ok'
        when level is null then 'untestable'
        else 'violation'
    end as result,
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
        when is_cited then null
        when level is null then 'names no source, and its permission level is not known'
        else 'read at level 1 without naming a source; expected inputs or the record read'
    end as detail
from reads
where occurred_at >= $period_start
  and occurred_at < $period_end
  and (level = 1 or (level is null and not is_cited))
order by seq
