-- question: How long did the first decision on a proposal take?
-- grain:    one row per period, workflow and batch; a batch with an action in the period counts
--           whole
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
-- returns:  grain              utf8     period, workflow or batch
--           key                utf8     null for the period, else workflow or batch_id
--           denominator        int64    proposals with a first decision
--           p50_hours          float64  nearest rank; null when nothing was decided
--           p90_hours          float64
--           max_hours          float64
--           pending            int64    proposed, not executed, undecided
--           pending_age_hours  float64  of the oldest pending proposal at as_of; null when none is
--           status             utf8     no_data, small_sample or ok
-- needs:    action.proposed, action.decided
-- why:      only actions with an action.proposed: a source that sends finished rows gives one
--           instant, and the time between an event and itself measures nothing.

with scoped as (
    select
        grain,
        key,
        cast(first_decision_at as bigint) - cast(proposed_at as bigint) as duration_us,
        case when is_undecided then cast(proposed_at as bigint) end as pending_since_us,
        cohort_at >= $period_start and cohort_at < $period_end as is_in_period
    from action_scopes
    where has_proposal
    union all
    select 'period', null, null, null, true
),
ranked as (
    select
        grain,
        key,
        duration_us,
        pending_since_us,
        is_in_period,
        row_number() over (partition by grain, key order by duration_us nulls last) as position,
        count(duration_us) over (partition by grain, key) as decided
    from scoped
    where is_in_period or grain = 'batch'
),
summaries as (
    select
        grain,
        key,
        count(duration_us) as denominator,
        min(duration_us) filter (where position * 2 >= decided) as p50_us,
        min(duration_us) filter (where position * 10 >= decided * 9) as p90_us,
        max(duration_us) as max_us,
        count(pending_since_us) as pending,
        cast($as_of as bigint) - min(pending_since_us) as pending_age_us
    from ranked
    group by grain, key
    having bool_or(is_in_period)
)
select
    grain,
    key,
    denominator,
    p50_us / 3600000000.0 as p50_hours,
    p90_us / 3600000000.0 as p90_hours,
    max_us / 3600000000.0 as max_hours,
    pending,
    pending_age_us / 3600000000.0 as pending_age_hours,
    case
        when denominator = 0 then 'no_data'
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status
from summaries
order by
    case grain when 'period' then 0 when 'workflow' then 1 else 2 end,
    key
