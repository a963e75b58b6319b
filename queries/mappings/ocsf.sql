-- question: What did people, programs and agents read and write, by OCSF events?
-- grain:    one row per resource of an API activity (6003); one per changed field of a managed entity (3004)
-- params:   none
-- returns:  event_id       utf8       metadata.uid, and the resource or field
--           source         utf8       names the product
--           event_type     utf8       data.accessed or action.executed
--           occurred_at    timestamp  time, milliseconds since 1970
--           workflow       utf8
--           run_id         utf8       api.request.uid
--           trace_id       utf8       metadata.correlation_uid
--           action_id      utf8       request or event, and the resource or field; of action.executed only
--           actor_kind     utf8       agent with an ai_agent, else by the type of actor.user
--           actor_id       utf8
--           model_version  utf8
--           system         utf8       api.service.name, else the product
--           record_type    utf8
--           record_id      utf8
--           field          utf8       a key of the entity's data that differs
--           operation      utf8       read, create, update, delete, else activity_name in small letters
--           old_value      utf8       from entity.data
--           new_value      utf8       from entity_result.data
--           processor      utf8
--           region         utf8
--           inputs         list       what a read read
--           policy_outcome utf8       auto_run or blocked, by disposition_id
--           decision       utf8       approved, by disposition_id 8; OCSF does not say by whom
--           outcome        utf8       by status_id; a blocked failure is denied
--           error          utf8       status_detail of a failure
--           comment        utf8       api.operation, and the person behind an agent
--           extra          utf8       unmapped
-- needs:    source: _json, OCSF events of class 6003 or 3004 with metadata.uid; _file, _row
-- why:      OCSF tells what was called and how it ended, old and new values only for entities that carry
--           their data before and after. An approval is a disposition without a reviewer: taken as the
--           decision it states, it is never a valid approval here. Other classes and unknown activities
--           have no event type and are refused; so are events without metadata.uid or time.

with events as (
    select
        _file,
        _row,
        json_text(_json, '/metadata/uid') as uid,
        json_text(_json, '/metadata/product/name') as product,
        try_cast(json_text(_json, '/time') as bigint) as time,
        json_text(_json, '/metadata/correlation_uid') as trace_id,
        json_text(_json, '/class_uid') as class_uid,
        json_text(_json, '/activity_id') as activity_id,
        lower(json_text(_json, '/activity_name')) as activity_name,
        json_text(_json, '/api/operation') as api_operation,
        json_text(_json, '/api/request/uid') as request_id,
        coalesce(json_text(_json, '/api/service/name'), json_text(_json, '/metadata/product/name')) as system,
        json_text(_json, '/ai_agent/uid') as agent_id,
        json_text(_json, '/ai_agent/ai_model/name') as model_name,
        json_text(_json, '/ai_agent/ai_model/version') as model_version,
        coalesce(
            json_text(_json, '/actor/user/uid'),
            json_text(_json, '/actor/user/name'),
            json_text(_json, '/actor/app_name')
        ) as user_id,
        json_text(_json, '/actor/user/type_id') as user_type,
        json_text(_json, '/actor/app_name') as app_name,
        json_text(_json, '/cloud/provider') as processor,
        json_text(_json, '/cloud/region') as region,
        json_text(_json, '/disposition_id') as disposition_id,
        json_text(_json, '/status_id') as status_id,
        json_text(_json, '/status_detail') as status_detail,
        case when json_keys(_json, '/unmapped') is not null then json_text(_json, '/unmapped') end
            as unmapped,
        json_list(_json, '/resources') as resources,
        json_text(_json, '/entity') as entity,
        json_text(_json, '/entity_result') as entity_result
    from source
),
targets as (
    select
        source_file,
        source_row,
        json_text(resource, '/type') as record_type,
        coalesce(json_text(resource, '/uid'), json_text(resource, '/name')) as record_id,
        cast(null as varchar) as field,
        cast(null as varchar) as old_value,
        cast(null as varchar) as new_value,
        coalesce(json_text(resource, '/uid'), json_text(resource, '/name')) as target
    from (
        select _file as source_file, _row as source_row, unnest(resources) as resource
        from events
        where class_uid = '6003'
    )
    union all
    select
        source_file,
        source_row,
        json_text(entity, '/type') as record_type,
        coalesce(json_text(entity, '/uid'), json_text(entity, '/name')) as record_id,
        field,
        case when json_keys(entity, '/data') is not null then coalesce(json_text(entity, pointer), '') end
            as old_value,
        coalesce(json_text(entity_result, pointer), '') as new_value,
        field as target
    from (
        select *, '/data/' || replace(replace(field, '~', '~0'), '/', '~1') as pointer
        from (
            select
                _file as source_file,
                _row as source_row,
                entity,
                entity_result,
                unnest(json_keys(entity_result, '/data')) as field
            from events
            where class_uid = '3004'
        )
    )
    where json_text(entity, pointer) is distinct from json_text(entity_result, pointer)
),
named as (
    select
        *,
        case
            when class_uid not in ('6003', '3004') or coalesce(activity_id, '0') in ('0', '99') then null
            when activity_id = '2' then 'data.accessed'
            else 'action.executed'
        end as event_type,
        case activity_id
            when '1' then 'create'
            when '2' then 'read'
            when '3' then 'update'
            when '4' then 'delete'
            else activity_name
        end as operation,
        uid || coalesce('/' || target, '') as id,
        coalesce(record_type, json_text(entity, '/type')) as target_type,
        coalesce(record_id, json_text(entity, '/uid'), json_text(entity, '/name')) as target_id
    from events
    left join targets on source_file = _file and source_row = _row
)
select
    id as event_id,
    'ocsf://' || product as source,
    event_type,
    case
        when time between 0 and 253402300799999
            then arrow_cast(to_timestamp_millis(time), 'Timestamp(Microsecond, Some("UTC"))')
    end as occurred_at,
    'ocsf' as workflow,
    request_id as run_id,
    trace_id,
    case when event_type = 'action.executed' then coalesce(request_id, uid) || coalesce('/' || target, '') end
        as action_id,
    case
        when agent_id is not null then 'agent'
        when user_type in ('1', '2') then 'human'
        when user_type = '3' then 'system'
        when user_type = '4' or app_name is not null then 'automation'
    end as actor_kind,
    coalesce(agent_id, user_id) as actor_id,
    nullif(concat_ws(' ', model_name, model_version), '') as model_version,
    system,
    target_type as record_type,
    target_id as record_id,
    field,
    operation,
    old_value,
    new_value,
    processor,
    region,
    case
        when event_type = 'data.accessed' and target_id is not null
            then [named_struct('system', system, 'record_type', target_type, 'record_id', target_id)]
    end as inputs,
    case disposition_id when '1' then 'auto_run' when '2' then 'blocked' end as policy_outcome,
    case disposition_id when '8' then 'approved' end as decision,
    case
        when status_id = '1' then 'succeeded'
        when status_id = '2' and disposition_id = '2' then 'denied'
        when status_id = '2' then 'failed'
        else 'unknown'
    end as outcome,
    case when status_id = '2' then status_detail end as error,
    nullif(
        concat_ws(', ', api_operation, case when agent_id is not null then 'on behalf of ' || user_id end), ''
    ) as comment,
    unmapped as extra
from named
order by _file, _row, target
