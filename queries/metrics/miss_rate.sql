-- question: Of the records that needed a correction, what share had the agent missed?
-- grain:    one row per key of each grain; a batch with a review in the period counts whole, every
--           other row holds the records reviewed in it
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30  days that a correction may take
-- returns:  grain        utf8     period, workflow, batch, segment, rule_version, prompt_version or
--                                 model_version
--           key          utf8     null for the period, else the value of that attribute
--           numerator    int64    records corrected by a person with no proposal before
--           denominator  int64    records corrected, or with an action that was right
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    null: no action is in a denominator of records
--           status       utf8     no_data, immature, small_sample or ok
-- needs:    record.reviewed, record.corrected, action.proposed, action.decided, action.executed,
--           action.labeled
-- window:   reviews
-- why:      a person is actor_kind human. Proposals and verdicts are those of the actions on the
--           record that name no other batch than the review.

with batches as (
    select distinct batch_id
    from reviewed
    where reviewed_at >= $period_start and reviewed_at < $period_end
),
reviews as (
    select
        s.grain,
        s.key,
        s.system,
        s.record_type,
        s.record_id,
        min(s.reviewed_at) as reviewed_at,
        min(s.event_order) as review_order
    from review_scopes as s
    left join batches as b on s.grain = 'batch' and b.batch_id = s.key
    where (s.grain = 'batch' or (s.reviewed_at >= $period_start and s.reviewed_at < $period_end))
      and (s.grain <> 'batch' or b.batch_id is not null)
    group by s.grain, s.key, s.system, s.record_type, s.record_id
),
facts as (
    select
        r.grain,
        r.key,
        r.system,
        r.record_type,
        r.record_id,
        r.reviewed_at,
        c.kind is not null as is_needed,
        case when c.actor_kind = 'human' then c.event_order end as repair_order,
        cast(null as decimal(38, 0)) as proposal_order
    from reviews as r
    left join corrections as c
        on c.system = r.system
        and c.record_type = r.record_type
        and c.record_id = r.record_id
        and c.event_order > r.review_order
        and c.corrected_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    union all
    select
        s.grain,
        s.key,
        s.system,
        s.record_type,
        s.record_id,
        null as reviewed_at,
        coalesce(
            v.verdict,
            case
                when v.corrected_at < v.cohort_at + cast(concat($maturity_days, ' days') as interval)
                    then 'true_positive'
            end,
            'open'
        ) = 'true_positive' as is_needed,
        cast(null as decimal(38, 0)) as repair_order,
        case when s.has_proposal then s.proposal_order end as proposal_order
    from review_actions as s
    inner join verdicts as v on v.action_id = s.action_id
    left join batches as b on s.grain = 'batch' and b.batch_id = s.key
    where (s.grain = 'batch' or (s.reviewed_at >= $period_start and s.reviewed_at < $period_end))
      and (s.grain <> 'batch' or b.batch_id is not null)
    union all
    select 'period', null, null, null, null, null, false, null, null
),
outcomes as (
    select
        grain,
        key,
        record_id,
        max(reviewed_at) as reviewed_at,
        bool_or(is_needed) as is_needed,
        min(repair_order) as repair_order,
        min(proposal_order) as proposal_order
    from facts
    group by grain, key, system, record_type, record_id
),
counts as (
    select
        grain,
        key,
        count(*) filter (
            where repair_order is not null and (proposal_order is null or proposal_order > repair_order)
        ) as numerator,
        count(*) filter (where is_needed) as denominator,
        max(reviewed_at) as latest_at
    from outcomes
    group by grain, key
)
select
    grain,
    key,
    numerator,
    denominator,
    cast(numerator as double) / nullif(denominator, 0) as value,
    case when denominator > 0 then wilson_low(numerator, denominator) end as ci_low,
    case when denominator > 0 then wilson_high(numerator, denominator) end as ci_high,
    cast(null as bigint) as pending,
    case
        when denominator = 0 then 'no_data'
        when latest_at + cast(concat($maturity_days, ' days') as interval) > $as_of then 'immature'
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status
from counts
order by
    case grain when 'period' then 0 when 'workflow' then 1 when 'batch' then 2 else 3 end,
    grain, key
