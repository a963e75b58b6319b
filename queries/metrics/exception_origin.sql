-- question: Did the agent surface the routing exceptions, or did people find them?
-- grain:    one row per part for each key of each grain; a batch with a review in the period counts
--           whole, every other row holds the records reviewed in it
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30  days that a correction may take
-- returns:  grain        utf8     period, workflow, batch, segment, rule_version, prompt_version or
--                                 model_version
--           key          utf8     null for the period, else the value of that attribute
--           part         utf8     surfaced_by_ai or found_by_human; they add up to the headline
--           numerator    int64    records of the headline, each in one part
--           denominator  int64    records reviewed, flagged or not
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    null: no action is in a denominator of records
--           status       utf8     no_data, immature, small_sample or ok
-- needs:    record.reviewed, record.corrected, action.decided, action.executed, action.rolled_back
-- window:   reviews
-- why:      surfaced_by_ai: an approved action on the record was executed (succeeded, partial or
--           unknown) after the review and within maturity, even if a person had to finish or undo
--           the repair.

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
-- A record is known by its first review: one number to group by instead of four texts.
facts as (
    select
        r.grain,
        r.key,
        r.review_order,
        r.record_id is not null as is_record,
        r.reviewed_at,
        x.kind is not null as is_exception,
        false as is_executed
    from reviews as r
    left join exceptions as x
        on x.system = r.system
        and x.record_type = r.record_type
        and x.record_id = r.record_id
        and x.event_order > r.review_order
        and x.occurred_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    union all
    select
        r.grain,
        r.key,
        r.review_order,
        r.record_id is not null as is_record,
        r.reviewed_at,
        false as is_exception,
        true as is_executed
    from reviews as r
    inner join approved_executions as x
        on x.system = r.system
        and x.record_type = r.record_type
        and x.record_id = r.record_id
        and x.event_order > r.review_order
        and x.executed_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    union all
    select 'period', null, null, false, null, false, false
),
outcomes as (
    select
        grain,
        key,
        max(reviewed_at) as reviewed_at,
        bool_or(is_record) as is_record,
        bool_or(is_exception) as is_exception,
        bool_or(is_executed) as is_executed
    from facts
    group by grain, key, review_order
),
scopes as (
    select
        grain,
        key,
        count(*) filter (where is_exception and is_executed) as surfaced_by_ai,
        count(*) filter (where is_exception and not is_executed) as found_by_human,
        count(*) filter (where is_record) as denominator,
        max(reviewed_at) as latest_at
    from outcomes
    group by grain, key
),
counts as (
    select
        s.grain,
        s.key,
        o.part,
        case o.part when 'surfaced_by_ai' then s.surfaced_by_ai else s.found_by_human end as numerator,
        s.denominator,
        s.latest_at
    from scopes as s
    cross join (values ('surfaced_by_ai'), ('found_by_human')) as o (part)
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
    grain, key, part
