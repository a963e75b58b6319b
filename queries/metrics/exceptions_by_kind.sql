-- question: Which kinds of routing exception were there?
-- grain:    one row per kind for each key of each grain; a batch with a review in the period counts
--           whole, every other row holds the records reviewed in it
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30  days that a correction may take
-- returns:  grain        utf8     period, workflow, batch, segment, rule_version, prompt_version or
--                                 model_version
--           key          utf8     null for the period, else the value of that attribute
--           part         utf8     the five kinds, always all of them
--           numerator    int64    records with an exception of this kind, each once
--           denominator  int64    records reviewed, flagged or not
--           value        float64  numerator / denominator; null when nothing is in it
--           ci_low       float64  Wilson 95 %
--           ci_high      float64
--           pending      int64    null: no action is in a denominator of records
--           status       utf8     no_data, immature, small_sample or ok
-- needs:    record.reviewed, record.corrected, action.decided, action.executed, action.rolled_back
-- window:   reviews
-- why:      a record with two kinds counts in both, so the parts add up to at least the headline.

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
outcomes as (
    select
        r.grain,
        r.key,
        max(r.reviewed_at) as reviewed_at,
        count(r.record_id) > 0 as is_record,
        bool_or(x.kind = 'routing') as has_routing,
        bool_or(x.kind = 'owner') as has_owner,
        bool_or(x.kind = 'lifecycle') as has_lifecycle,
        bool_or(x.kind = 'duplicate') as has_duplicate,
        bool_or(x.kind = 'required_field') as has_required_field
    from reviews as r
    left join exceptions as x
        on x.system = r.system
        and x.record_type = r.record_type
        and x.record_id = r.record_id
        and x.event_order > r.review_order
        and x.occurred_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    group by r.grain, r.key, r.review_order
    union all
    select 'period', null, null, false, false, false, false, false, false
),
scopes as (
    select
        grain,
        key,
        count(*) filter (where has_routing) as routing,
        count(*) filter (where has_owner) as owner,
        count(*) filter (where has_lifecycle) as lifecycle,
        count(*) filter (where has_duplicate) as duplicate,
        count(*) filter (where has_required_field) as required_field,
        count(*) filter (where is_record) as denominator,
        max(reviewed_at) as latest_at
    from outcomes
    group by grain, key
),
counts as (
    select
        s.grain,
        s.key,
        k.part,
        case k.part
            when 'routing' then s.routing
            when 'owner' then s.owner
            when 'lifecycle' then s.lifecycle
            when 'duplicate' then s.duplicate
            when 'required_field' then s.required_field
        end as numerator,
        s.denominator,
        s.latest_at
    from scopes as s
    cross join (
        values ('routing'), ('owner'), ('lifecycle'), ('duplicate'), ('required_field')
    ) as k (part)
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
