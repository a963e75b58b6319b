-- question: On what share of the records reviewed did the agent propose something?
-- grain:    one row per key of each grain; a batch with a review in the period counts whole, every
--           other row holds the records reviewed in it
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  grain        utf8     period, workflow, batch, segment, rule_version, prompt_version or
--                                 model_version
--           key          utf8     null for the period, else the value of that attribute
--           numerator    int64    records with an action.proposed, each once
--           denominator  int64    records reviewed, flagged or not
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    null: no action is in a denominator of records
--           status       utf8     no_data, small_sample or ok
-- needs:    record.reviewed, action.proposed
-- window:   reviews
-- why:      a proposal that names another batch than the review flags that batch and not this one.
--           Actions sent without an action.proposed are not flags: nobody knows when they were
--           raised.

with batches as (
    select distinct batch_id
    from reviewed
    where reviewed_at >= $period_start and reviewed_at < $period_end
),
outcomes as (
    select
        s.grain,
        s.key,
        s.system,
        s.record_type,
        s.record_id,
        false as is_flagged
    from review_scopes as s
    left join batches as b on s.grain = 'batch' and b.batch_id = s.key
    where (s.grain = 'batch' or (s.reviewed_at >= $period_start and s.reviewed_at < $period_end))
      and (s.grain <> 'batch' or b.batch_id is not null)
    union all
    select
        s.grain,
        s.key,
        s.system,
        s.record_type,
        s.record_id,
        s.has_proposal as is_flagged
    from review_actions as s
    left join batches as b on s.grain = 'batch' and b.batch_id = s.key
    where (s.grain = 'batch' or (s.reviewed_at >= $period_start and s.reviewed_at < $period_end))
      and (s.grain <> 'batch' or b.batch_id is not null)
    union all
    select 'period', null, null, null, null, false
),
records_reviewed as (
    select
        grain,
        key,
        record_id,
        bool_or(is_flagged) as is_flagged
    from outcomes
    group by grain, key, system, record_type, record_id
),
counts as (
    select
        grain,
        key,
        count(*) filter (where is_flagged) as numerator,
        count(record_id) as denominator
    from records_reviewed
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
        when denominator < 30 then 'small_sample'
        else 'ok'
    end as status
from counts
order by
    case grain when 'period' then 0 when 'workflow' then 1 when 'batch' then 2 else 3 end,
    grain, key
