-- The values that look-ups ask for: what is biggest, so that no engine finds nothing. DuckDB's dialect.

select
    (select run_id from evidence where run_id is not null group by 1 order by count(*) desc, 1 limit 1) as run_id,
    (select batch_id from evidence where batch_id is not null group by 1 order by count(*) desc, 1 limit 1) as batch_id,
    (select event_id from evidence order by seq limit 1 offset (select count(*) // 2 from evidence)) as event_id,
    a.action_id,
    r.system,
    r.record_type,
    r.record_id,
    (select max(recorded_at) from evidence) as as_of,
    (select min(occurred_month) from evidence) as first_month,
    (select max(occurred_month) from evidence) as last_month,
    (select count(*) from evidence) as events
from
    (
        select action_id
        from evidence
        where action_id is not null
        group by 1
        order by count(*) desc, 1
        limit 1
    ) as a,
    (
        select system, record_type, record_id
        from evidence
        where system is not null and record_type is not null and record_id is not null
        group by all
        order by count(*) desc, 1, 2, 3
        limit 1
    ) as r
