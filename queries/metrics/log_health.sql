-- question: Can the log be believed: what came in, what was refused, what is late or missing?
-- grain:    one row per source and UTC day of occurrence
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  source     utf8
--           day        utf8   YYYY-MM-DD; null where the time could not be read
--           received   int64
--           accepted   int64
--           duplicate  int64
--           conflict   int64
--           rejected   int64
--           late       int64  events recorded more than 24 hours after they occurred
--           gaps       int64  numbers of source_seq missing just before events of that day
-- needs:    evidence.received, source_seq
-- why:      accepted are the events that are there, not the receipts' count of them: a process that was
--           killed stored events, but wrote no receipt. Records without a readable time have no day; they are listed under the period in which
--           they were received. Every environment counts: a lost event is lost anywhere.

with facts as (
    select
        source,
        day,
        duplicate + conflict + rejected as received,
        0 as accepted,
        duplicate,
        conflict,
        rejected,
        0 as late,
        0 as gaps
    from intake
    where (
            day >= to_char($period_start, '%Y-%m-%d')
            and day <= to_char(
                arrow_cast($period_end, 'Timestamp(Microsecond, Some("UTC"))') - interval '1 microsecond',
                '%Y-%m-%d'
            )
        )
       or (day is null and recorded_at >= $period_start and recorded_at < $period_end)
    union all
    select
        source,
        to_char(occurred_at, '%Y-%m-%d') as day,
        1 as received,
        1 as accepted,
        0 as duplicate,
        0 as conflict,
        0 as rejected,
        case when recorded_at > occurred_at + interval '24 hours' then 1 else 0 end as late,
        0 as gaps
    from events
    where occurred_at >= $period_start
      and occurred_at < $period_end
      and event_type not like 'evidence.%'
    union all
    select
        r.source,
        to_char(e.occurred_at, '%Y-%m-%d') as day,
        0 as received,
        0 as accepted,
        0 as duplicate,
        0 as conflict,
        0 as rejected,
        0 as late,
        r.first_number - r.previous_number - 1 as gaps
    from source_runs as r
    inner join events as e on e.seq = r.seq
    where r.previous_number is not null
      and e.occurred_at >= $period_start
      and e.occurred_at < $period_end
)
select
    source,
    day,
    sum(received) as received,
    sum(accepted) as accepted,
    sum(duplicate) as duplicate,
    sum(conflict) as conflict,
    sum(rejected) as rejected,
    sum(late) as late,
    sum(gaps) as gaps
from facts
group by source, day
order by source, day nulls last
