-- question: What became of the records of one batch?
-- grain:    one row per part; always all seven
-- params:   batch_id       utf8
--           maturity_days  int64  = 30  days that a correction may take
-- returns:  part     utf8   reviewed, flagged, not_flagged, executed, corrected, corrected_unflagged,
--                           exceptions
--           records  int64  distinct records
-- needs:    record.reviewed, action.proposed, action.executed, record.corrected
-- why:      corrected_unflagged is what the agent missed so far; exceptions is the numerator of the
--           routing exception rate of the batch.

with reviews as (
    select
        system,
        record_type,
        record_id,
        min(reviewed_at) as reviewed_at,
        min(event_order) as review_order
    from reviewed
    where batch_id = $batch_id
    group by system, record_type, record_id
),
facts as (
    select system, record_type, record_id, 'reviewed' as fact
    from reviews
    union all
    select system, record_type, record_id, 'flagged' as fact
    from review_actions
    where grain = 'batch' and key = $batch_id and has_proposal
    union all
    select s.system, s.record_type, s.record_id, 'executed' as fact
    from review_actions as s
    inner join actions as a on a.action_id = s.action_id
    where s.grain = 'batch' and s.key = $batch_id and a.any_executed
    union all
    select r.system, r.record_type, r.record_id, 'corrected' as fact
    from reviews as r
    inner join corrections as c
        on c.system = r.system
        and c.record_type = r.record_type
        and c.record_id = r.record_id
        and c.event_order > r.review_order
        and c.corrected_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    union all
    select r.system, r.record_type, r.record_id, 'exception' as fact
    from reviews as r
    inner join exceptions as x
        on x.system = r.system
        and x.record_type = r.record_type
        and x.record_id = r.record_id
        and x.event_order > r.review_order
        and x.occurred_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
),
records_reviewed as (
    select
        bool_or(fact = 'flagged') as is_flagged,
        bool_or(fact = 'executed') as is_executed,
        bool_or(fact = 'corrected') as is_corrected,
        bool_or(fact = 'exception') as is_exception
    from facts
    group by system, record_type, record_id
)
select
    p.part,
    count(*) filter (
        where case p.part
            when 'reviewed' then true
            when 'flagged' then r.is_flagged
            when 'not_flagged' then not r.is_flagged
            when 'executed' then r.is_executed
            when 'corrected' then r.is_corrected
            when 'corrected_unflagged' then r.is_corrected and not r.is_flagged
            when 'exceptions' then r.is_exception
        end and r.is_flagged is not null
    ) as records
from (
    values
        (1, 'reviewed'), (2, 'flagged'), (3, 'not_flagged'), (4, 'executed'), (5, 'corrected'),
        (6, 'corrected_unflagged'), (7, 'exceptions')
) as p (position, part)
left join records_reviewed as r on true
group by p.position, p.part
order by p.position
