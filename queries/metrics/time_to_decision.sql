-- question: How long did the first decision on a proposal take?
-- grain:    one row per key of each grain; a batch with an action in the period counts whole, every
--           other row holds the actions of the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
-- returns:  grain              utf8     period, workflow, batch, issue_type, rule_version,
--                                       prompt_version, model_version, segment, permission_level,
--                                       permission_area, operation or reviewer
--           key                utf8     null for the period, else the value of that attribute
--           denominator        int64    proposals with a first decision
--           p50_hours          float64  nearest rank; null when nothing was decided
--           p90_hours          float64
--           max_hours          float64
--           pending            int64    proposed, not executed, undecided
--           pending_age_hours  float64  of the oldest pending proposal at as_of; null when none is
--           status             utf8     no_data, small_sample or ok
-- needs:    action.proposed, action.decided
-- window:   actions
-- why:      only actions with an action.proposed: a source that sends finished rows gives one
--           instant, and the time between an event and itself measures nothing.

with scoped as (
    select
        grain,
        key,
        cast(first_decision_at as bigint) - cast(proposed_at as bigint) as duration_us,
        case when is_undecided then cast(proposed_at as bigint) end as pending_since_us,
        cohort_at >= $period_start and cohort_at < $period_end as is_in_period
    from first_decision_scopes
    where has_proposal
    union all
    select 'period', null, null, null, true
),
lists as (
    select
        grain,
        key,
        array_agg(duration_us) filter (where duration_us is not null) as durations_us,
        count(duration_us) as denominator,
        max(duration_us) as max_us,
        count(pending_since_us) as pending,
        cast($as_of as bigint) - min(pending_since_us) as pending_age_us
    from scoped
    where is_in_period or grain = 'batch'
    group by grain, key
    having bool_or(is_in_period)
),
summaries as (
    select
        grain,
        key,
        denominator,
        array_sort(durations_us)[(denominator + 1) / 2] as p50_us,
        array_sort(durations_us)[(denominator * 9 + 9) / 10] as p90_us,
        max_us,
        pending,
        pending_age_us
    from lists
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
    case grain when 'period' then 0 when 'workflow' then 1 when 'batch' then 2 else 3 end,
    grain, key
