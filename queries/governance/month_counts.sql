-- question: How much was reviewed, flagged, decided, executed and corrected?
-- grain:    one row per part; always all nine
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           maturity_days  int64      = 30  days that a correction may take
-- returns:  part     utf8   reviewed, flagged, approved, rejected, escalated, corrected, executed,
--                           rolled_back or exceptions_raised
--           records  int64  distinct records
--           actions  int64  distinct actions; null where the part is no count of actions
-- needs:    record.reviewed, action.proposed, action.decided, action.executed, record.corrected
-- window:   reviews
-- why:      every count belongs to the period of its cohort event, as the rates do: records to their
--           review, actions to their proposal. Flagged and corrected are of the records reviewed;
--           approved, rejected and escalated are final decisions, escalated the open ones.

with reviews as (
    select
        system,
        record_type,
        record_id,
        min(reviewed_at) as reviewed_at,
        min(event_order) as review_order
    from reviewed
    where reviewed_at >= $period_start and reviewed_at < $period_end
    group by system, record_type, record_id
),
proposals as (
    select
        system,
        record_type,
        record_id,
        action_id
    from review_actions
    where grain = 'period'
      and has_proposal
      and reviewed_at >= $period_start
      and reviewed_at < $period_end
    group by system, record_type, record_id, action_id
),
facts as (
    select 'reviewed' as part, system, record_type, record_id, cast(null as varchar) as action_id
    from reviews
    union all
    select 'flagged' as part, system, record_type, record_id, action_id
    from proposals
    union all
    select 'corrected' as part, r.system, r.record_type, r.record_id, null as action_id
    from reviews as r
    inner join corrections as c
        on c.system = r.system
        and c.record_type = r.record_type
        and c.record_id = r.record_id
        and c.event_order > r.review_order
        and c.corrected_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    union all
    select p.part, a.system, a.record_type, a.record_id, a.action_id
    from actions as a
    cross join (
        values ('approved'), ('rejected'), ('escalated'), ('executed'), ('rolled_back')
    ) as p (part)
    where a.cohort_at >= $period_start
      and a.cohort_at < $period_end
      and case p.part
            when 'approved' then a.final_decision in ('approved', 'approved_with_changes')
            when 'rejected' then a.final_decision = 'rejected'
            when 'escalated' then a.final_decision = 'escalated'
            when 'executed' then a.any_executed
            when 'rolled_back' then a.any_rolled_back
        end
    union all
    select 'exceptions_raised' as part, system, record_type, record_id, action_id
    from events
    where event_type = 'exception.raised'
      and environment = 'production'
      and occurred_at >= $period_start
      and occurred_at < $period_end
),
counts_of_records as (
    select part, count(record_id) as records
    from (
        select part, system, record_type, record_id
        from facts
        group by part, system, record_type, record_id
    ) as distinct_records
    group by part
),
counts_of_actions as (
    select part, count(action_id) as actions
    from (select part, action_id from facts group by part, action_id) as distinct_actions
    group by part
)
select
    p.part,
    coalesce(r.records, 0) as records,
    case when p.part not in ('reviewed', 'corrected') then coalesce(a.actions, 0) end as actions
from (
    values
        (1, 'reviewed'), (2, 'flagged'), (3, 'approved'), (4, 'rejected'), (5, 'escalated'),
        (6, 'corrected'), (7, 'executed'), (8, 'rolled_back'), (9, 'exceptions_raised')
) as p (position, part)
left join counts_of_records as r on r.part = p.part
left join counts_of_actions as a on a.part = p.part
order by p.position
