-- question: What did agents do with their tools and models, by OpenTelemetry spans with GenAI attributes?
-- grain:    one row per call of a model, read, and failed span of another kind; two per action of a tool
-- params:   none
-- returns:  event_id       utf8       trace, span and what happened; equal whichever exporter wrote the span
--           source         utf8       names the service
--           event_type     utf8       data.accessed, action.proposed, action.executed or exception.raised
--           occurred_at    timestamp  end of the span; of a proposal and of a span without an end its start
--           environment    utf8       by deployment.environment.name; one of another name is refused
--           workflow       utf8       gen_ai.workflow.name, else the agent, else the service
--           run_id         utf8       trace
--           trace_id       utf8
--           action_id      utf8       trace, and the call with its payload's first digits, else the span
--           attempt        int32      of spans of one action, by their start
--           actor_kind     utf8
--           actor_id       utf8       agent of the span, of its parent, or the only one of the trace
--           model_version  utf8       of the span (the answering model first), else the only one of the trace
--           system         utf8       the provider, else "models"; the server, else "tools" or "data sources"
--           record_type    utf8       model, data source, what the arguments name, else the tool
--           record_id      utf8       "unnamed" where the arguments have no known id
--           operation      utf8       of an action by the tool's name, else the operation of the span
--           new_value      utf8       of an action its arguments
--           processor      utf8       the provider of a model
--           reason_code    utf8       error.type of an exception
--           payload_hash   utf8       SHA-256 of the tool, a space and its arguments
--           inputs         utf8       JSON: what a tool read; of an action what was read before in its trace
--           outcome        utf8       failed by status or error.type; unknown without an end
--           error          utf8       error.type and the words of the status
--           comment        utf8       the tool
--           extra          utf8       parent, start and every other attribute, but no messages and no answers
-- needs:    source: _json, OTLP/JSON exports (resourceSpans) or objects with spans as the SDK writes them
--           (context, attributes), each at most 64 KiB: batch few spans, or split an export into lines of
--           one span with its resource, which gives the same events; whole traces in one file; _file, _row
-- why:      A span says what was called, not what was meant: the names of the tools decide, in the one step
--           `classified`; copy this file and name your tools and their records there and in `targets`. A
--           tool of unknown kind counts as a change, never as a read. A call of a model is an access: data
--           goes to a processor and comes back. Tools that only hand over an answer, runs of agents and
--           spans without a GenAI operation touch no record: an event when they failed, if GenAI at all.
--           A proposal is the call of the tool at the start of its span; there are no decisions in a trace.
--           An unset status is no error: the conventions leave it so. Messages and answers stay where they
--           are: they hold more of persons than an audit needs. A record that is no export is refused.

with exports as (
    select
        _file,
        _row,
        -- A reader of JSON rounds numbers: the long ids of the SDK and amounts are made text to stay whole.
        regexp_replace(
            _json,
            '"(trace_id|span_id|doubleValue|gen_ai\.usage\.[a-z_.]+)":\s*(-?[0-9][0-9.eE+-]*)',
            '"\1":"\2"',
            'g'
        ) as document
    from source
),
resource_spans as (
    select
        _file,
        _row,
        unnest(json_list(document, '/resourceSpans')) as part,
        unnest(range(0, cast(array_length(json_list(document, '/resourceSpans')) as bigint)))
            as resource_place
    from exports
),
scope_spans as (
    select
        _file,
        _row,
        json_text(part, '/resource') as resource,
        resource_place,
        unnest(json_list(part, '/scopeSpans')) as scope_part,
        unnest(range(0, cast(array_length(json_list(part, '/scopeSpans')) as bigint))) as scope_place
    from resource_spans
),
exported_spans as (
    select
        _file,
        _row,
        resource,
        concat(resource_place, '/', scope_place) as scope,
        unnest(json_list(scope_part, '/spans')) as span,
        unnest(range(0, cast(array_length(json_list(scope_part, '/spans')) as bigint))) as span_place
    from scope_spans
),
written_spans as (
    select
        _file,
        _row,
        unnest(json_list(document, '/spans')) as span,
        unnest(range(0, cast(array_length(json_list(document, '/spans')) as bigint))) as span_place
    from exports
),
identities as (
    select
        _file,
        _row,
        concat(scope, '/', span_place) as place,
        false as is_numbered,
        [json_text(span, '/attributes'), json_text(resource, '/attributes')] as carriers,
        lower(json_text(span, '/traceId')) as trace_id,
        lower(json_text(span, '/spanId')) as span_id,
        lower(json_text(span, '/parentSpanId')) as parent_id,
        json_text(span, '/startTimeUnixNano') as started,
        json_text(span, '/endTimeUnixNano') as ended,
        json_text(span, '/status/code') as status,
        json_text(span, '/status/message') as status_text
    from exported_spans
    union all
    select
        _file,
        _row,
        concat('', span_place) as place,
        true as is_numbered,
        [json_text(span, '/attributes'), json_text(span, '/resource/attributes')] as carriers,
        json_text(span, '/context/trace_id') as trace_id,
        json_text(span, '/context/span_id') as span_id,
        json_text(span, '/parent/span_id') as parent_id,
        json_text(span, '/start_time') as started,
        json_text(span, '/end_time') as ended,
        json_text(span, '/status/status_code') as status,
        json_text(span, '/status/description') as status_text
    from written_spans
),
spans as (
    select
        _file,
        _row,
        place,
        carriers,
        -- Ids of the SDK are decimal, up to 39 digits; the form of the W3C is hexadecimal.
        case
            when not is_numbered then nullif(trace_id, '')
            else lpad(to_hex(try_cast((trace_number - low_part) / word as bigint unsigned)), 16, '0')
                || lpad(to_hex(try_cast(low_part as bigint unsigned)), 16, '0')
        end as trace_id,
        case
            when not is_numbered then nullif(span_id, '')
            else lpad(to_hex(try_cast(span_id as bigint unsigned)), 16, '0')
        end as span_id,
        case
            when not is_numbered then nullif(parent_id, '')
            else lpad(to_hex(try_cast(parent_id as bigint unsigned)), 16, '0')
        end as parent_id,
        nullif(try_cast(started as bigint), 0) / 1000 as started,
        nullif(try_cast(ended as bigint), 0) / 1000 as ended,
        coalesce(lower(status) in ('2', 'error', 'status_code_error'), false) as is_status_error,
        nullif(status_text, '') as status_text
    from (
        select *, trace_number % word as low_part
        from (
            select
                *,
                try_cast(trace_id as decimal(39, 0)) as trace_number,
                cast('18446744073709551616' as decimal(20, 0)) as word
            from identities
        )
    )
),
carriers as (
    select
        * except (carriers),
        unnest(carriers) as carrier,
        unnest(['', 'resource ']) as owner
    from spans
),
items as (
    select
        * except (carrier),
        case when starts_with(carrier, '{') then carrier end as object,
        unnest(coalesce(json_list(carrier, ''), json_keys(carrier, ''))) as item
    from carriers
),
attributes as (
    select
        * except (object, item, owner),
        concat(owner, case when object is null then json_text(item, '/key') else item end) as name,
        case
            when object is not null
                then json_text(object, '/' || replace(replace(item, '~', '~0'), '/', '~1'))
            else coalesce(
                json_text(item, '/value/stringValue'),
                json_text(item, '/value/intValue'),
                json_text(item, '/value/doubleValue'),
                json_text(item, '/value/boolValue'),
                -- Lists and flat maps in plain JSON; what nests deeper stays as OTLP writes it.
                regexp_replace(
                    regexp_replace(
                        regexp_replace(
                            regexp_replace(
                                json_text(item, '/value'),
                                '\{"(?:string|int|double|bool)Value":("(?:[^"\\]|\\.)*"|[^{}"]+)\}',
                                '\1',
                                'g'
                            ),
                            '\{"arrayValue":\{"values":(\[[^{}]*\])\}\}',
                            '\1',
                            'g'
                        ),
                        '\{"key":("(?:[^"\\]|\\.)*"),"value":("(?:[^"\\]|\\.)*"|\[[^{}]*\]|[^{}"]+)\}',
                        '\1:\2',
                        'g'
                    ),
                    '\{"kvlistValue":\{"values":\[((?:[^{}"]|"(?:[^"\\]|\\.)*")*)\]\}\}',
                    '{\1}',
                    'g'
                )
            )
        end as value
    from items
),
members as (
    select
        * except (value),
        concat(
            '"',
            replace(replace(regexp_replace(name, '[\x00-\x1f]', ' ', 'g'), '\', '\\'), '"', '\"'),
            '":',
            case
                when name like 'gen_ai.usage.%' and value ~ '^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
                    then value
                else concat(
                    '"',
                    replace(
                        replace(
                            regexp_replace(
                                replace(replace(value, '\', '\\'), '"', '\"'),
                                '[\x00-\x08\x0b-\x1f]',
                                ' ',
                                'g'
                            ),
                            chr(10),
                            '\n'
                        ),
                        chr(9),
                        '\t'
                    ),
                    '"'
                )
            end
        ) as member
    from attributes
    where name is not null and value is not null
),
objects as (
    select
        _file,
        _row,
        trace_id,
        span_id,
        parent_id,
        started,
        ended,
        is_status_error,
        status_text,
        concat('{', string_agg(member, ','), '}') as attributes,
        string_agg(member, ',') filter (where name not like 'resource %' and name not in (
            'error.type', 'gen_ai.operation.name', 'gen_ai.provider.name', 'gen_ai.tool.args',
            'gen_ai.tool.call.arguments', 'gen_ai.tool.name', 'gen_ai.workflow.name', 'workflow',
            'gen_ai.completion', 'gen_ai.input.messages', 'gen_ai.output', 'gen_ai.output.messages',
            'gen_ai.prompt', 'gen_ai.retrieval.documents', 'gen_ai.retrieval.query.text',
            'gen_ai.system_instructions', 'gen_ai.tool.call.result', 'gen_ai.tool.definitions'
        )) as members
    from members
    group by
        _file, _row, place, trace_id, span_id, parent_id, started, ended, is_status_error, status_text
),
described as (
    select
        * except (attributes),
        json_text(attributes, '/gen_ai.operation.name') as span_operation,
        coalesce(json_text(attributes, '/gen_ai.agent.id'), json_text(attributes, '/gen_ai.agent.name'))
            as agent,
        json_text(attributes, '/gen_ai.agent.name') as agent_name,
        coalesce(json_text(attributes, '/gen_ai.workflow.name'), json_text(attributes, '/workflow'))
            as workflow,
        coalesce(
            json_text(attributes, '/gen_ai.response.model'), json_text(attributes, '/gen_ai.request.model')
        ) as model,
        coalesce(json_text(attributes, '/gen_ai.provider.name'), json_text(attributes, '/gen_ai.system'))
            as provider,
        json_text(attributes, '/gen_ai.data_source.id') as data_source,
        json_text(attributes, '/gen_ai.tool.name') as tool,
        json_text(attributes, '/gen_ai.tool.type') as tool_type,
        json_text(attributes, '/gen_ai.tool.call.id') as call_id,
        coalesce(
            json_text(attributes, '/gen_ai.tool.call.arguments'), json_text(attributes, '/gen_ai.tool.args')
        ) as arguments,
        json_text(attributes, '/server.address') as server,
        json_text(attributes, '/error.type') as error_type,
        nullif(
            concat_ws(
                '/',
                json_text(attributes, '/resource service.namespace'),
                json_text(attributes, '/resource service.name')
            ),
            ''
        ) as service,
        lower(coalesce(
            json_text(attributes, '/resource deployment.environment.name'),
            json_text(attributes, '/resource deployment.environment')
        )) as environment
    from objects
),
classified as (
    select
        *,
        encode(sha256(concat(tool, ' ', arguments)), 'hex') as payload_hash,
        case
            when is_status_error or error_type is not null then 'failed'
            when ended is null then 'unknown'
            else 'succeeded'
        end as outcome,
        case
            when span_operation = 'retrieval' then 'read'
            when span_operation in (
                'call_llm', 'chat', 'embeddings', 'generate_content', 'text_completion'
            ) then 'model'
            when span_operation <> 'execute_tool' then 'other'
            when tool in ('final_answer', 'final_output') then 'other'
            when tool_type = 'datastore' then 'read'
            when tool ~ '_(and|or)_|(And|Or)[A-Z]' then 'action'
            when tool ~ concat(
                '(^|__|[./:])([Cc]ount|[Dd]escribe|[Ff]etch|[Ff]ind|[Gg]et|[Ll]ist|[Ll]ook_?up',
                '|[Rr]ead|[Rr]etrieve|[Ss]earch|[Ss]how|[Vv]iew|[Vv]isit)([_-]|[A-Z]|$)'
            ) then 'read'
            else 'action'
        end as purpose
    from described
    where span_operation is not null
),
targets as (
    select
        *,
        case
            when purpose = 'model' then coalesce(provider, 'models')
            when span_operation = 'retrieval' then coalesce(server, 'data sources')
            else coalesce(server, 'tools')
        end as system,
        case
            when purpose = 'model' then 'model'
            when span_operation = 'retrieval' then 'data source'
            else coalesce(json_text(arguments, '/record_type'), tool)
        end as record_type,
        case
            when purpose = 'model' then model
            when span_operation = 'retrieval' then data_source
            else coalesce(
                json_text(arguments, '/record_id'),
                json_text(arguments, '/id'),
                json_text(arguments, '/path'),
                json_text(arguments, '/file_path'),
                json_text(arguments, '/url')
            )
        end as record_id,
        case
            when purpose <> 'action' then span_operation
            when tool ~ '(^|__|[./:])([Aa]dd|[Cc]reate|[Ii]nsert)([_-]|[A-Z]|$)' then 'create'
            when tool ~ '(^|__|[./:])([Cc]ancel|[Dd]elete|[Rr]emove)([_-]|[A-Z]|$)' then 'delete'
            when tool ~ '(^|__|[./:])([Nn]otify|[Rr]eply|[Ss]end)([_-]|[A-Z]|$)' then 'send'
            when tool ~ '(^|__|[./:])([Ee]dit|[Mm]odify|[Pp]atch|[Ss]et|[Uu]pdate|[Ww]rite)([_-]|[A-Z]|$)'
                then 'update'
            else 'execute'
        end as operation
    from classified
),
records as (
    select
        *,
        concat(
            '{"system":"', replace(replace(system, '\', '\\'), '"', '\"'),
            '","record_type":"', replace(replace(record_type, '\', '\\'), '"', '\"'),
            '","record_id":"', replace(replace(record_id, '\', '\\'), '"', '\"'), '"}'
        ) as input
    from (select * except (record_id), coalesce(record_id, 'unnamed') as record_id from targets)
),
traces as (
    select
        trace_id as whole_trace,
        case when min(agent) = max(agent) then max(agent) end as only_agent,
        case when min(agent_name) = max(agent_name) then max(agent_name) end as only_agent_name,
        case when min(workflow) = max(workflow) then max(workflow) end as only_workflow,
        case when min(model) = max(model) then max(model) end as only_model
    from classified
    group by trace_id
),
parents as (
    select
        trace_id as parent_trace,
        span_id as parent_span,
        max(agent) as parent_agent,
        max(agent_name) as parent_agent_name,
        max(tool) as parent_tool
    from classified
    group by trace_id, span_id
),
calls as (
    select
        *,
        trace_id || '/' || coalesce(call_id || '/' || left(payload_hash, 8), span_id) as action_id
    from records
    left join parents on parent_trace = trace_id and parent_span = parent_id
    left join traces on whole_trace = trace_id
),
first_reads as (
    select trace_id, input, min(ended) as ended
    from records
    where purpose = 'read' and outcome = 'succeeded'
    group by trace_id, input
),
inputs as (
    select
        actions.trace_id,
        actions.span_id,
        concat('[', string_agg(input, ',' order by reads.ended, input), ']') as inputs
    from (select distinct trace_id, span_id, started from records where purpose = 'action') as actions
    join first_reads as reads on reads.trace_id = actions.trace_id and reads.ended <= actions.started
    group by actions.trace_id, actions.span_id
),
attempts as (
    select
        *,
        dense_rank() over (partition by action_id order by started, span_id) as attempt
    from calls
    -- The server of a tool tells of the same call once more, in a span below.
    where coalesce(parent_tool <> tool, true)
),
steps as (
    select
        *,
        case when step = 'proposed' then started else coalesce(ended, started) end as happened
    from (
        select
            *,
            unnest(case
                when purpose = 'action' and attempt = 1 then ['proposed', 'executed']
                when purpose = 'action' then ['executed']
                when purpose in ('model', 'read') then ['accessed']
                when outcome = 'failed' then ['raised']
            end) as step
        from attempts
    )
    union all by name
    select _file, _row
    from exports
    where json_list(document, '/resourceSpans') is null and json_list(document, '/spans') is null
)
select
    named.trace_id || '/' || named.span_id || '/' || step as event_id,
    'otel://' || service as source,
    case step
        when 'accessed' then 'data.accessed'
        when 'proposed' then 'action.proposed'
        when 'executed' then 'action.executed'
        when 'raised' then 'exception.raised'
    end as event_type,
    arrow_cast(to_timestamp_micros(happened), 'Timestamp(Microsecond, Some("UTC"))') as occurred_at,
    case
        when environment in ('live', 'prod', 'production') then 'production'
        when environment in ('dev', 'development', 'local', 'qa', 'sandbox', 'staging', 'test', 'testing')
            then 'sandbox'
        else environment
    end as environment,
    coalesce(workflow, only_workflow, agent_name, parent_agent_name, only_agent_name, service) as workflow,
    named.trace_id as run_id,
    named.trace_id as trace_id,
    case when purpose = 'action' then action_id end as action_id,
    case when step = 'executed' then cast(attempt as int) end as attempt,
    'agent' as actor_kind,
    coalesce(agent, parent_agent, only_agent) as actor_id,
    coalesce(model, only_model) as model_version,
    case when purpose <> 'other' then system end as system,
    case when purpose <> 'other' then record_type end as record_type,
    case when purpose <> 'other' then record_id end as record_id,
    operation,
    case when purpose = 'action' then arguments end as new_value,
    case when purpose = 'model' then provider end as processor,
    case when purpose = 'other' then coalesce(error_type, 'error') end as reason_code,
    case when tool is not null then payload_hash end as payload_hash,
    case
        when purpose = 'read' then concat('[', input, ']')
        when purpose = 'action' then inputs.inputs
    end as inputs,
    case when step in ('accessed', 'executed') then outcome end as outcome,
    case
        when step <> 'proposed' and outcome = 'failed'
            then nullif(concat_ws(': ', error_type, status_text), '')
    end as error,
    tool as comment,
    case
        when step <> 'proposed' then concat(
            '{',
            concat_ws(
                ',',
                members,
                '"otel.span.parent_id":"' || parent_id || '"',
                to_char(to_timestamp_micros(started), '"otel.span.started_at":"%Y-%m-%dT%H:%M:%S%.6fZ"')
            ),
            '}'
        )
    end as extra
from steps as named
left join inputs on inputs.trace_id = named.trace_id and inputs.span_id = named.span_id
order by _file, _row, happened, case when step = 'executed' then 1 else 0 end, event_id
