-- question: What did the agent of a tau-bench airline log do to its customers' records, and was it right?
-- grain:    one row per event: a record examined, read, changed, labelled or corrected, or a case handed over
-- params:   none
-- returns:  event_id       utf8       task, trial, number of the message, and what happened
--           source         utf8       names the agent's model
--           event_type     utf8       record.reviewed, data.accessed, action.proposed, action.executed,
--                                     action.labeled, record.corrected or exception.raised
--           occurred_at    timestamp  invented: 2024-05-15T20:00Z, the agent's own "current time", an hour
--                                     per trajectory (50 tasks a trial), a second per message
--           workflow       utf8
--           trigger        utf8
--           run_id         utf8       task and trial: one trajectory
--           batch_id       utf8       trial
--           action_id      utf8       one call of a tool that writes
--           actor_kind     utf8
--           actor_id       utf8
--           prompt_version utf8       first twelve digits of the SHA-256 of the agent's instructions
--           model_version  utf8       from the file's name, <model>-airline.json
--           system         utf8
--           record_type    utf8       reservation, customer, flights or airports
--           record_id      utf8       @task/trial behind it: each trajectory has a database of its own
--           field          utf8       null on a booking and on a certificate: they change no field
--           segment        utf8       membership, if the agent read it in this trajectory
--           subject_id     utf8
--           operation      utf8
--           old_value      utf8       as the agent last saw the reservation in this trajectory, else null
--           new_value      utf8       from the arguments of the call
--           amount         decimal(18,2)  booked, granted, charged or paid back, where the answers show it
--           currency       utf8
--           reason_code    utf8       why a call was labelled so; why a case was handed over
--           reversibility  utf8       by the tools that the agent has
--           rollback_ref   utf8
--           payload_hash   utf8
--           inputs         list       records read before in the same trajectory
--           outcome        utf8
--           error          utf8
--           correction     utf8
--           label          utf8
--           comment        utf8       the payment asked for; of a case handed over the summary
-- needs:    source: _json (trajectories with task_id, trial, reward, info and traj, each task and trial
--           once), _file, _row
-- why:      The log has no clock, no reviewer and no confidence. Order is real, time is invented; the
--           customer's "yes" is no review, so there are no decisions. A call and its answer are neighbours
--           (call ids repeat). Each call that writes is an action of its own, also when it repeats a failed
--           one. Talk, think and calculate touch no record and are no events. Examined are the customer and
--           every reservation that the agent touched or should have changed. A succeeded write is right when
--           the ground truth holds the same call (tool and every argument, as often), or when the final
--           database is the required one (reward 1). A required write that never came is a record.corrected
--           of kind required_field by the people who wrote the ground truth: the record lacks a value that
--           it needs. Kind other would hide it from miss_rate, a label needs an action that never was.

with trajectories as (
    select
        _file,
        _row,
        concat('task-', json_text(_json, '/task_id'), '/trial-', json_text(_json, '/trial')) as run_id,
        concat('trial-', json_text(_json, '/trial')) as batch_id,
        1715803200 + 3600 * (
            50 * try_cast(json_text(_json, '/trial') as smallint)
            + try_cast(json_text(_json, '/task_id') as smallint)
        ) as started_second,
        regexp_match(_file, '([^/]+)-airline')[1] as model,
        left(encode(sha256(json_text(_json, '/traj/0/content')), 'hex'), 12) as prompt_version,
        try_cast(json_text(_json, '/reward') as double) >= 1 as is_state_right,
        json_text(_json, '/info/task/user_id') as customer,
        json_list(_json, '/info/task/actions') as required_calls,
        json_list(_json, '/traj') as messages
    from source
),
messages as (
    select
        run_id,
        unnest(messages) as message,
        unnest(range(0, cast(array_length(messages) as bigint))) as position
    from trajectories
),
tool_calls as (
    select
        run_id,
        position,
        unnest(json_list(message, '/tool_calls')) as tool_call,
        unnest(range(1, 1 + cast(array_length(json_list(message, '/tool_calls')) as bigint))) as ordinal
    from messages
),
required_calls as (
    select
        run_id,
        unnest(required_calls) as tool_call,
        unnest(range(1, 1 + cast(array_length(required_calls) as bigint))) as ordinal
    from trajectories
),
named_calls as (
    select
        'made' as kind,
        calls.run_id,
        calls.position + calls.ordinal as number,
        calls.position,
        json_text(calls.tool_call, '/function/name') as tool,
        json_text(calls.tool_call, '/function/arguments') as arguments,
        json_text(answers.message, '/content') as answer
    from tool_calls as calls
    left join messages as answers
        on answers.run_id = calls.run_id and answers.position = calls.position + calls.ordinal
    union all
    select
        'required' as kind,
        run_id,
        ordinal as number,
        cast(null as bigint) as position,
        json_text(tool_call, '/name') as tool,
        json_text(tool_call, '/kwargs') as arguments,
        cast(null as varchar) as answer
    from required_calls
),
calls as (
    select
        *,
        case
            when answer is null then 'unknown'
            when starts_with(answer, 'Error') then 'failed'
            else 'succeeded'
        end as outcome,
        case
            when tool in (
                'book_reservation', 'cancel_reservation', 'send_certificate', 'update_reservation_baggages',
                'update_reservation_flights', 'update_reservation_passengers'
            ) then 'write'
            when tool like 'get_%' or tool like 'search_%' or tool like 'list_%' then 'read'
            when tool = 'transfer_to_human_agents' then 'handover'
        end as purpose,
        case
            when json_text(arguments, '/reservation_id') is not null then 'reservation'
            when json_text(arguments, '/user_id') is not null then 'customer'
            when tool like 'search_%' then 'flights'
            when tool like 'list_%' then 'airports'
        end as record_type,
        coalesce(
            json_text(arguments, '/reservation_id'),
            json_text(arguments, '/user_id'),
            case
                when tool like 'search_%' then concat(
                    json_text(arguments, '/origin'), '-', json_text(arguments, '/destination'),
                    '/', json_text(arguments, '/date')
                )
                when tool like 'list_%' then 'all'
            end
        ) as record
    from named_calls
),
documents as (
    select kind, run_id, number, arguments as document from calls where purpose = 'write'
    union all
    select 'seen' as kind, run_id, number, answer as document
    from calls
    where record_type = 'reservation' and outcome = 'succeeded'
),
members as (
    select
        kind,
        run_id,
        number,
        key,
        coalesce(json_list(document, concat('/', key)), [json_text(document, concat('/', key))]) as elements
    from (select *, unnest(json_keys(document, '')) as key from documents)
),
elements as (
    select
        kind,
        run_id,
        number,
        key,
        unnest(elements) as element,
        unnest(range(0, cast(array_length(elements) as bigint))) as position
    from members
),
leaves as (
    select
        kind,
        run_id,
        number,
        key,
        position,
        part,
        coalesce(json_text(element, concat('/', part)), element) as value
    from (select *, unnest(coalesce(json_keys(element, ''), [''])) as part from elements)
),
contents as (
    select
        kind,
        run_id,
        number,
        string_agg(concat(key, '/', position, '/', part, '=', value), ';' order by key, position, part)
            as signature,
        concat(
            max(value) filter (where key = 'cabin'),
            ': ',
            string_agg(value, ' ' order by key, position, part)
                filter (where key = 'flights' and part in ('date', 'flight_number'))
        ) as flights,
        string_agg(value, ' ' order by key, position, part) filter (where key = 'passengers') as passengers,
        concat(
            max(value) filter (where key = 'total_baggages'),
            ' bags, ',
            max(value) filter (where key = 'nonfree_baggages'),
            ' of them paid'
        ) as baggages,
        coalesce(max(value) filter (where key = 'status'), '') as status,
        max(value) filter (where key = 'amount') as granted,
        coalesce(
            max(value) filter (where key = 'payment_id'),
            string_agg(value, ' ' order by key, position, part) filter (where key = 'payment_methods')
        ) as payment,
        sum(try_cast(value as decimal(18, 2)))
            filter (where key in ('payment_history', 'payment_methods') and part = 'amount') as paid
    from leaves
    group by kind, run_id, number
),
writes as (
    select
        calls.*,
        contents.signature,
        'paid by ' || contents.payment as payment,
        case calls.tool
            when 'update_reservation_flights' then 'flights'
            when 'update_reservation_baggages' then 'baggages'
            when 'update_reservation_passengers' then 'passengers'
            when 'cancel_reservation' then 'status'
        end as field,
        case calls.tool
            when 'update_reservation_flights' then contents.flights
            when 'update_reservation_baggages' then contents.baggages
            when 'update_reservation_passengers' then contents.passengers
            when 'cancel_reservation' then 'cancelled'
            when 'send_certificate' then contents.granted
            else concat(contents.flights, '; ', contents.passengers, '; ', contents.baggages)
        end as new_value,
        case
            when calls.tool = 'book_reservation' then contents.paid
            when calls.tool = 'send_certificate' then try_cast(contents.granted as decimal(18, 2))
        end as asked_amount,
        row_number() over (
            partition by calls.kind, calls.run_id, calls.tool, contents.signature, calls.outcome
            order by calls.number
        ) as repetition
    from calls
    join contents
        on contents.kind = calls.kind and contents.run_id = calls.run_id and contents.number = calls.number
    where calls.purpose = 'write'
),
last_seen as (
    select writes.run_id, writes.number, max(seen.number) as seen_number
    from writes
    join calls as seen
        on seen.run_id = writes.run_id and seen.record = writes.record and seen.number < writes.number
    where writes.kind = 'made'
        and seen.kind = 'made'
        and seen.record_type = 'reservation'
        and seen.outcome = 'succeeded'
    group by writes.run_id, writes.number
),
changes as (
    select
        writes.run_id,
        writes.number,
        case writes.field
            when 'flights' then before.flights
            when 'baggages' then before.baggages
            when 'passengers' then before.passengers
            when 'status' then before.status
        end as old_value,
        abs(after.paid - before.paid) as settled_amount
    from writes
    join last_seen on last_seen.run_id = writes.run_id and last_seen.number = writes.number
    join contents as before
        on before.kind = 'seen' and before.run_id = writes.run_id and before.number = last_seen.seen_number
    left join contents as after
        on after.kind = 'seen' and after.run_id = writes.run_id and after.number = writes.number
    where writes.kind = 'made'
),
first_reads as (
    select run_id, record_type, record, min(number) as number
    from calls
    where kind = 'made' and purpose = 'read' and outcome = 'succeeded'
    group by run_id, record_type, record
),
inputs as (
    select
        writes.run_id,
        writes.number,
        array_agg(
            named_struct(
                'system', 'airline',
                'record_type', reads.record_type,
                'record_id', concat(reads.record, '@', reads.run_id)
            )
            order by reads.number
        ) as inputs
    from writes
    join first_reads as reads on reads.run_id = writes.run_id and reads.number <= writes.position
    where writes.kind = 'made'
    group by writes.run_id, writes.number
),
required_records as (
    select distinct run_id, tool, record from writes where kind = 'required'
),
judged_writes as (
    select
        made.*,
        changes.old_value,
        case when made.outcome = 'succeeded' then changes.settled_amount end as settled_amount,
        inputs.inputs,
        case
            when made.outcome <> 'succeeded' then null
            when required.run_id is not null then 'as_required'
            when trajectories.is_state_right then 'final_state_right'
            when required_records.run_id is not null then 'wrong_arguments'
            else 'not_required'
        end as judgement
    from writes as made
    join trajectories on trajectories.run_id = made.run_id
    left join writes as required
        on required.kind = 'required'
        and required.run_id = made.run_id
        and required.tool = made.tool
        and required.signature = made.signature
        and required.repetition = made.repetition
    left join required_records
        on required_records.run_id = made.run_id
        and required_records.tool = made.tool
        and required_records.record = made.record
    left join changes on changes.run_id = made.run_id and changes.number = made.number
    left join inputs on inputs.run_id = made.run_id and inputs.number = made.number
    where made.kind = 'made'
),
missing_writes as (
    select required.*
    from writes as required
    join trajectories on trajectories.run_id = required.run_id and not trajectories.is_state_right
    left join writes as made
        on made.kind = 'made'
        and made.outcome = 'succeeded'
        and made.run_id = required.run_id
        and made.tool = required.tool
        and made.signature = required.signature
        and made.repetition = required.repetition
    where required.kind = 'required' and made.run_id is null
),
last_messages as (
    select run_id, max(position) as position from messages group by run_id
),
memberships as (
    select run_id, max(json_text(answer, '/membership')) as membership
    from calls
    where tool = 'get_user_details' and outcome = 'succeeded'
    group by run_id
),
examined as (
    select run_id, 'customer' as record_type, customer as record from trajectories
    union
    select run_id, record_type, record from calls where kind = 'made' and record_type = 'reservation'
    union
    select run_id, record_type, record from writes where kind = 'required'
),
facts as (
    select
        run_id,
        'record.reviewed' as event_type,
        concat('reviewed/', record) as name,
        0 as position,
        0 as rank,
        record_type,
        record
    from examined
    union all by name
    select
        run_id,
        'data.accessed' as event_type,
        concat(number, '/read') as name,
        number as position,
        1 as rank,
        record_type,
        record,
        'read' as operation,
        [
            named_struct(
                'system', 'airline', 'record_type', record_type, 'record_id', concat(record, '@', run_id)
            )
        ] as inputs,
        outcome,
        case when outcome = 'failed' then answer end as error
    from calls
    where kind = 'made' and purpose = 'read'
    union all by name
    select
        run_id,
        'exception.raised' as event_type,
        concat(number, '/handover') as name,
        number as position,
        1 as rank,
        'customer' as record_type,
        customer as record,
        'transferred_to_human' as reason_code,
        json_text(arguments, '/summary') as comment
    from calls
    join (select run_id as case_id, customer from trajectories) on case_id = run_id
    where kind = 'made' and purpose = 'handover'
    union all by name
    select
        run_id,
        concat('action.', step) as event_type,
        concat(number, '/', step) as name,
        case step when 'proposed' then writes.position when 'executed' then number else last.position + 1 end
            as position,
        case step when 'proposed' then 1 when 'executed' then 2 else 3 end as rank,
        record_type,
        record,
        number as action_number,
        field,
        case tool
            when 'book_reservation' then 'create'
            when 'cancel_reservation' then 'cancel'
            when 'send_certificate' then 'send'
            else 'update'
        end as operation,
        case when step <> 'labeled' then old_value end as old_value,
        case when step <> 'labeled' then new_value end as new_value,
        case step
            when 'proposed' then asked_amount
            when 'executed' then coalesce(asked_amount, settled_amount)
        end as amount,
        case step when 'labeled' then judgement end as reason_code,
        case
            when tool in ('cancel_reservation', 'send_certificate') then 'irreversible'
            when tool = 'book_reservation' then 'compensable'
            else 'reversible'
        end as reversibility,
        case
            when step = 'executed' and tool = 'book_reservation' and outcome = 'succeeded'
                then 'cancel_reservation ' || json_text(answer, '/reservation_id')
        end as rollback_ref,
        case when step <> 'labeled' then encode(sha256(arguments), 'hex') end as payload_hash,
        case when step <> 'labeled' then inputs end as inputs,
        case step when 'executed' then outcome end as outcome,
        case when step = 'executed' and outcome = 'failed' then answer end as error,
        case
            when step <> 'labeled' then null
            when judgement in ('as_required', 'final_state_right') then 'true_positive'
            else 'false_positive'
        end as label,
        case when step <> 'labeled' then payment end as comment
    from (
        select *, unnest(case
            when judgement is null then ['proposed', 'executed']
            else ['proposed', 'executed', 'labeled']
        end) as step
        from judged_writes
    ) as writes
    join (select run_id as case_id, position from last_messages) as last on case_id = run_id
    union all by name
    select
        run_id,
        'record.corrected' as event_type,
        concat('required-', number, '/corrected') as name,
        last.position + 1 as position,
        4 as rank,
        record_type,
        record,
        field,
        new_value,
        'missing_write' as reason_code,
        'required_field' as correction,
        payment as comment
    from missing_writes
    join (select run_id as case_id, position from last_messages) as last on case_id = run_id
)
select
    concat(facts.run_id, '/', name) as event_id,
    concat('tau-bench://airline/', coalesce(model, 'unnamed')) as source,
    event_type,
    arrow_cast(to_timestamp_seconds(started_second + facts.position), 'Timestamp(Microsecond, Some("UTC"))')
        as occurred_at,
    'airline-service' as workflow,
    'customer' as trigger,
    facts.run_id,
    batch_id,
    facts.run_id || '/' || cast(action_number as varchar) as action_id,
    case when is_by_grader then 'human' else 'agent' end as actor_kind,
    case when is_by_grader then 'ground-truth-author' else 'airline-agent' end as actor_id,
    prompt_version,
    model as model_version,
    'airline' as system,
    record_type,
    record || '@' || facts.run_id as record_id,
    field,
    membership as segment,
    customer as subject_id,
    operation,
    old_value,
    new_value,
    cast(amount as decimal(18, 2)) as amount,
    case when amount is not null then 'USD' end as currency,
    reason_code,
    reversibility,
    rollback_ref,
    payload_hash,
    inputs,
    outcome,
    error,
    correction,
    label,
    comment
from (select *, event_type in ('action.labeled', 'record.corrected') as is_by_grader from facts) as facts
join trajectories on trajectories.run_id = facts.run_id
left join memberships on memberships.run_id = facts.run_id
order by _file, _row, facts.position, rank, event_id
