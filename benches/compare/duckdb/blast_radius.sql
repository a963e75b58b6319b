-- The blast radius of the actions that $predicate picks, as DuckDB does it best: what `probity incident scope` counts.
-- One row: actions, records, cells and their states, the hash of the affected records, exposed records, depth.
--
-- A bad write taints its cell until the next succeeded write to it or to the whole record, whoever's that is: if it is
-- bad too, it taints anew. So the recursion needs no negation: it finds the first tainted read of each action. Whose
-- value that was, and how many steps it is from a direct action, is settled once all bad writes are known.
-- The runner also cuts this statement into temporary tables, one for each expression; so one starts at the margin.
-- A cell has a field or is that of the whole record; a missing system or type is an empty one.

with recursive events as not materialized (
    select
        *,
        cast(epoch_us(occurred_at) as hugeint) * 1000000000000 + seq as event_order
    from evidence
    where environment = 'production'
),
direct as materialized (
    select distinct action_id
    from events
    where action_id is not null
      and $predicate
),
beginning as materialized (
    select min(occurred_at) as first_at
    from events
    semi join direct using (action_id)
    where event_type in ('action.executed', 'record.corrected')
),
stored_writes as materialized (
    select
        event_order,
        action_id,
        event_type = 'action.rolled_back' as is_undoing,
        system,
        record_type,
        record_id,
        field,
        old_value,
        new_value,
        case
            when outcome = 'succeeded' or outcome is null and event_type = 'record.corrected' then 'full'
            when outcome in ('partial', 'unknown') then 'doubtful'
            else 'nothing'
        end as effect
    from events
    where event_type in ('action.executed', 'action.rolled_back', 'record.corrected')
      and occurred_at >= (select first_at from beginning)
),
-- What a write leaves out of its target, an earlier event of its action may have said.
told as materialized (
    select event_order, system, record_type, record_id, field
    from (
        select
            event_order,
            last_value(system ignore nulls) over earlier as system,
            last_value(record_type ignore nulls) over earlier as record_type,
            last_value(record_id ignore nulls) over earlier as record_id,
            last_value(field ignore nulls) over earlier as field
        from events
        where action_id in (
            select action_id
            from stored_writes
            where system is null or record_type is null or record_id is null or field is null
        )
        window earlier as (partition by action_id order by event_order rows unbounded preceding)
    )
    semi join stored_writes using (event_order)
),
writes as not materialized (
    select
        s.event_order,
        s.action_id,
        s.is_undoing,
        coalesce(s.system, t.system, '') as system,
        coalesce(s.record_type, t.record_type, '') as record_type,
        coalesce(s.record_id, t.record_id) as record_id,
        coalesce(s.field, t.field) as field,
        s.old_value,
        s.new_value,
        s.effect
    from stored_writes as s
    left join told as t using (event_order)
    where coalesce(s.record_id, t.record_id) is not null
),
reads as materialized (
    select
        event_order,
        action_id,
        coalesce(input.system, '') as system,
        coalesce(input.record_type, '') as record_type,
        input.record_id as record_id,
        input.field as field,
        own_system,
        own_type,
        own_id
    from (
        select
            event_order,
            action_id,
            unnest(inputs) as input,
            coalesce(system, '') as own_system,
            coalesce(record_type, '') as own_type,
            record_id as own_id
        from events
        where inputs is not null
          and occurred_at >= (select first_at from beginning)
    )
),
-- An action may come out more than once, the earliest read decides; 0 is before every event.
derivations(action_id, since) as (
    select action_id, cast(0 as hugeint)
    from direct
    union
    select r.action_id, r.event_order
    from (
        select w.system, w.record_type, w.record_id, w.field, w.event_order, min(n.event_order) as ends
        from derivations as d
        inner join writes as w
            on w.action_id = d.action_id
            and w.event_order >= d.since
            and w.effect <> 'nothing'
            and not w.is_undoing
        left join writes as n
            on n.system = w.system
            and n.record_type = w.record_type
            and n.record_id = w.record_id
            and (n.field is not distinct from w.field or n.field is null)
            and n.effect = 'full'
            and n.event_order > w.event_order
        group by all
    ) as t
    inner join reads as r
        on r.system = t.system
        and r.record_type = t.record_type
        and r.record_id = t.record_id
        and (r.field = t.field or r.field is null or t.field is null)
        and r.event_order > t.event_order
        and (r.event_order <= t.ends or t.ends is null)
    anti join direct using (action_id)
    where r.action_id is not null
),
bad as materialized (
    select action_id, min(since) as since
    from derivations
    group by action_id
),
-- All writes to records that a bad action wrote to, or tried to.
history as materialized (
    select w.*, coalesce(w.event_order >= b.since and not w.is_undoing, false) as is_bad
    from writes as w
    left join bad as b using (action_id)
    semi join (
        select w.system, w.record_type, w.record_id
        from writes as w
        inner join bad as b on b.action_id = w.action_id and w.event_order >= b.since and not w.is_undoing
    ) using (system, record_type, record_id)
),
taints as materialized (
    select w.system, w.record_type, w.record_id, w.field, w.event_order, w.action_id, min(n.event_order) as ends
    from history as w
    left join history as n
        on n.system = w.system
        and n.record_type = w.record_type
        and n.record_id = w.record_id
        and n.event_order > w.event_order
        and (
            n.field is not distinct from w.field and (n.effect = 'full' or n.effect = 'doubtful' and n.is_bad)
            or n.field is null and n.effect = 'full' and not n.is_bad
        )
    where w.is_bad and w.effect <> 'nothing'
    group by all
),
tainted_reads as materialized (
    select r.action_id, r.event_order, r.own_system, r.own_type, r.own_id, t.action_id as written_by
    from reads as r
    inner join taints as t
        on t.system = r.system
        and t.record_type = r.record_type
        and t.record_id = r.record_id
        and (t.field = r.field or t.field is null or r.field is null)
        and t.event_order < r.event_order
        and (t.ends >= r.event_order or t.ends is null)
),
causes as materialized (
    select distinct r.action_id, r.written_by
    from tainted_reads as r
    inner join bad as b on b.action_id = r.action_id and b.since = r.event_order
),
steps(action_id, depth) as (
    select action_id, 0
    from direct
    union
    select c.action_id, s.depth + 1
    from steps as s
    inner join causes as c on c.written_by = s.action_id
),
depths as materialized (
    select action_id, min(depth) as depth
    from steps
    group by action_id
),
details as materialized (
    select action_id, event_order, operation, reversibility
    from events
    semi join bad using (action_id)
    where operation is not null or reversibility is not null
),
bad_cells as materialized (
    select
        system,
        record_type,
        record_id,
        field,
        max(event_order) filter (where effect <> 'nothing') as last_bad,
        arg_max(action_id, event_order) filter (where effect <> 'nothing') as last_action,
        arg_max(effect, event_order) filter (where effect <> 'nothing') as last_effect,
        arg_min_null(old_value, event_order) filter (where effect <> 'nothing') as old_value,
        bool_and(coalesce(old_value = new_value, false)) filter (where effect <> 'nothing') as is_without_effect
    from history
    where is_bad
    group by all
),
last_details as materialized (
    select
        b.last_bad,
        arg_max(d.operation, d.event_order) as operation,
        arg_max(d.reversibility, d.event_order) as reversibility
    from bad_cells as b
    inner join details as d on d.action_id = b.last_action and d.event_order <= b.last_bad
    group by b.last_bad
),
-- Clean writes after the last bad one: to any cell of the record, and to the cell itself.
clean_cells as materialized (
    select
        b.system,
        b.record_type,
        b.record_id,
        b.field,
        max(h.event_order) as record_clean,
        max(h.event_order) filter (where h.field is not distinct from b.field or h.field is null) as last_clean,
        arg_max_null(if(h.field is null, null, h.new_value), h.event_order)
            filter (where h.field is not distinct from b.field or h.field is null) as new_value,
        arg_max_null(if(h.is_undoing and h.field is not null and h.new_value is null, h.action_id, null), h.event_order)
            filter (where h.field is not distinct from b.field or h.field is null) as undone_action
    from bad_cells as b
    inner join history as h
        on h.system = b.system
        and h.record_type = b.record_type
        and h.record_id = b.record_id
        and h.event_order > b.last_bad
        and h.effect = 'full'
        and not h.is_bad
    group by all
),
-- A roll-back without a new value restores the old one that its action captured last.
captured as materialized (
    select c.last_clean, arg_max(e.old_value, e.event_order) as old_value
    from (select distinct last_clean, undone_action from clean_cells where undone_action is not null) as c
    inner join events as e on e.action_id = c.undone_action and e.event_order < c.last_clean
    where e.old_value is not null
      and e.event_type <> 'action.rolled_back'
    group by c.last_clean
),
states as materialized (
    select
        b.system,
        b.record_type,
        b.record_id,
        case
            when b.last_bad is null then 'not_applied'
            when b.is_without_effect then 'no_effect'
            when d.reversibility = 'irreversible' then 'irreversible'
            when d.operation in ('delete', 'merge') and c.record_clean is null then 'deleted'
            when b.last_effect = 'doubtful' and c.last_clean is null then 'unknown'
            when c.last_clean is null then 'still_wrong'
            when coalesce(c.new_value, o.old_value) = b.old_value then 'restored'
            else 'overwritten'
        end as state
    from bad_cells as b
    left join last_details as d using (last_bad)
    left join clean_cells as c
        on c.system = b.system
        and c.record_type = b.record_type
        and c.record_id = b.record_id
        and c.field is not distinct from b.field
    left join captured as o using (last_clean)
),
keys as materialized (
    select distinct
        replace(replace(replace(system, '%', '%25'), '/', '%2F'), chr(10), '%0A') || '/'
        || replace(replace(replace(record_type, '%', '%25'), '/', '%2F'), chr(10), '%0A') || '/'
        || replace(replace(replace(record_id, '%', '%25'), '/', '%2F'), chr(10), '%0A') as key
    from states
    where state not in ('not_applied', 'no_effect')
),
exposed as materialized (
    select distinct r.own_system, r.own_type, r.own_id
    from tainted_reads as r
    anti join states as s on s.system = r.own_system and s.record_type = r.own_type and s.record_id = r.own_id
    where r.own_id is not null
)
select
    (select count(*) from direct) as direct_actions,
    (select count(*) from bad where since > 0) as derived_actions,
    (select coalesce(max(depth), 0) from depths) as max_depth,
    (select count(*) from exposed) as exposed_records,
    (select count(*) from keys) as records,
    (select sha256(coalesce(string_agg(key, chr(10) order by key), '')) from keys) as affected_sha256,
    count(*) as cells,
    count(*) filter (where state = 'not_applied') as not_applied,
    count(*) filter (where state = 'no_effect') as no_effect,
    count(*) filter (where state = 'irreversible') as irreversible,
    count(*) filter (where state = 'deleted') as deleted,
    count(*) filter (where state = 'unknown') as unknown,
    count(*) filter (where state = 'restored') as restored,
    count(*) filter (where state = 'overwritten') as overwritten,
    count(*) filter (where state = 'still_wrong') as still_wrong
from states
