-- question: Which runs changed more records than one run may?
-- grain:    one row per workflow and run with an execution while the policy has a bulk_limit
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the run's last execution
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8       of that execution
--           seq          int64      of the run's last execution
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       who executed
--           detail       utf8       what was found; null when ok
-- needs:    action.executed, run_id, bulk_limit in the policy
-- window:   actions
-- why:      distinct records, not actions, whether approved or not; an action without a record counts
--           as one. The smallest limit in force during the run holds, and the run belongs to the time
--           of its last execution. No bulk_limit, as in the built-in default: nothing to test.
--           Executions without a run_id are judged together; untestable when they exceed the limit,
--           since they may have been several runs.

with executions as (
    select
        x.workflow,
        x.run_id,
        x.event_order,
        x.occurred_at,
        coalesce(x.system, '') as system,
        coalesce(x.record_type, '') as record_type,
        coalesce(x.record_id, x.action_id) as record_id,
        r.number as bulk_limit
    from judged_actions as x
    inner join policy_rules as r
        on r.effective_from = x.policy_from and r.kind = 'setting' and r.name = 'bulk_limit'
    where x.phase = 'execution'
),
records_changed as (
    select
        workflow,
        run_id,
        max(event_order) as last_order,
        max(occurred_at) as last_at,
        min(bulk_limit) as bulk_limit
    from executions
    group by workflow, run_id, system, record_type, record_id
),
runs as (
    select
        workflow,
        run_id,
        max(last_order) as last_order,
        cast(min(bulk_limit) as bigint) as bulk_limit,
        count(*) as changed
    from records_changed
    group by workflow, run_id
    having max(last_at) >= $period_start
       and max(last_at) < $period_end
)
select
    case
        when r.changed <= r.bulk_limit then 'ok'
        when r.run_id is null then 'untestable'
        else 'violation'
    end as result,
    x.action_id,
    x.seq,
    x.occurred_at,
    x.workflow,
    x.system,
    x.record_type,
    cast(null as varchar) as record_id,
    cast(null as varchar) as field,
    x.actor_id as actor,
    case
        when r.changed <= r.bulk_limit then null
        when r.run_id is null
            then concat(r.changed, ' records changed without a run_id; limit ', r.bulk_limit)
        else concat('run ', r.run_id, ' changed ', r.changed, ' records; limit ', r.bulk_limit)
    end as detail
from runs as r
inner join judged_actions as x on x.phase = 'execution' and x.event_order = r.last_order
order by x.seq
