-- question: What share of the executed actions that needed approval had a valid one?
-- grain:    one row per part of each key of each grain; a batch with an action in the period counts
--           whole, every other row holds the actions of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  grain        utf8     period, workflow, batch, issue_type, rule_version,
--                                 prompt_version, model_version, segment, permission_level,
--                                 permission_area or operation
--           key          utf8     null for the period, else the value of that attribute
--           part         utf8     valid: the coverage; recorded_late, unprovable, missing, not_approved,
--                                 self_approved, not_authorised, payload_differs, reused: the rest;
--                                 need_unknown: outside of both; always all ten, in this order
--           numerator    int64    actions of that part
--           denominator  int64    executed actions that needed approval; of need_unknown: all executed
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    proposed, not executed, undecided
--           status       utf8     no_data, small_sample or ok
-- needs:    action.decided, action.executed, payload_hash, reviewer, policy_outcome or permission_level
-- window:   actions
-- why:      an action executed more than once is covered when each of its executions is; else its first
--           execution without a valid approval says why not. Recorded late and unprovable are not
--           covered: times are the source's word, and a missing hash shows nothing.

with executed as (
    select
        action_id,
        case
            when bool_or(needs_approval) then true
            when count(needs_approval) = count(*) then false
        end as needs_approval,
        min(event_order) filter (where needs_approval and status <> 'valid') as defect_order
    from approvals
    group by action_id
),
scoped as (
    select
        s.grain,
        s.key,
        s.is_undecided,
        x.action_id is not null as is_executed,
        x.needs_approval,
        case
            when x.action_id is null then null
            when x.needs_approval then coalesce(d.status, 'valid')
            when x.needs_approval is null then 'need_unknown'
        end as part,
        s.cohort_at >= $period_start and s.cohort_at < $period_end as is_in_period
    from action_scopes as s
    left join executed as x on x.action_id = s.action_id
    left join approvals as d on d.event_order = x.defect_order
    union all
    select 'period', null, false, false, null, null, true
),
counts as (
    select
        grain,
        key,
        count(*) filter (where needs_approval) as needing,
        count(*) filter (where is_executed) as executed,
        count(*) filter (where is_undecided) as pending
    from scoped
    where is_in_period or grain = 'batch'
    group by grain, key
    having bool_or(is_in_period)
),
tallies as (
    select
        grain,
        key,
        part,
        count(*) as actions
    from scoped
    where part is not null
      and (is_in_period or grain = 'batch')
    group by grain, key, part
),
parts as (
    select
        c.grain,
        c.key,
        p.position,
        p.part,
        coalesce(t.actions, 0) as numerator,
        case p.part when 'need_unknown' then c.executed else c.needing end as denominator,
        c.pending
    from counts as c
    cross join (
        values
            (0, 'valid'), (1, 'recorded_late'), (2, 'unprovable'), (3, 'missing'), (4, 'not_approved'),
            (5, 'self_approved'), (6, 'not_authorised'), (7, 'payload_differs'), (8, 'reused'),
            (9, 'need_unknown')
    ) as p (position, part)
    left join tallies as t
        on t.grain = c.grain and (t.key is not distinct from c.key) and t.part = p.part
)
select
    grain,
    key,
    part,
    numerator,
    denominator,
    cast(numerator as double) / nullif(denominator, 0) as value,
    case when denominator > 0 then wilson_low(numerator, denominator) end as ci_low,
    case when denominator > 0 then wilson_high(numerator, denominator) end as ci_high,
    pending,
    case
        when denominator = 0 then 'no_data'
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status
from parts
order by
    case grain when 'period' then 0 when 'workflow' then 1 when 'batch' then 2 else 3 end,
    grain, key, position
