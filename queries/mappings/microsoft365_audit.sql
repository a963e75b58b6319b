-- question: Who read or changed what in Microsoft 365, by its unified audit log?
-- grain:    one row per modified property of a record; one per record without any
-- params:   none
-- returns:  event_id    utf8  Id of the record, and the property's place in its list; 0 without properties
--           source      utf8  names the tenant
--           event_type  utf8  config.changed, data.accessed or action.executed
--           occurred_at utf8  CreationTime, which is UTC without saying so
--           workflow    utf8
--           run_id      utf8  Id of the record: properties changed together
--           action_id   utf8  equal to event_id, of action.executed only
--           actor_kind  utf8  by UserType and the known system accounts; null where they do not tell
--           actor_id    utf8  UserId
--           system      utf8  Workload
--           record_type utf8  ItemType, the directory's category, or the record type's number
--           record_id   utf8  ObjectId, else the id that the workload uses
--           field       utf8  the property; of config.changed without one, the operation
--           operation   utf8  read, create, delete, send or update
--           old_value   utf8  null where the log has no values
--           new_value   utf8  of an Exchange cmdlet its parameters
--           outcome     utf8  by ResultStatus; absent = succeeded: most workloads log only what was done
--           comment     utf8  the operation as Microsoft names it
-- needs:    source: _json, records of the Management Activity API (or the AuditData of an export); _file,
--           _row
-- why:      The log has no notion of a configuration: it is what Exchange admins (record type 1), the
--           directory (8) and sharing (14) do, and operations on settings, modes, policies and apps. Reads
--           are told by the operation's name. Sign-ins touch no record and are refused, not guessed.
--           Properties that only describe (Included Updated Properties, TargetId.*, ActorId.*, SPN) or do
--           not differ are no changes; a record with no others gives one event without a property.

with records as (
    select
        _file,
        _row,
        json_text(_json, '/Id') as id,
        'microsoft365://' || json_text(_json, '/OrganizationId') as source,
        rtrim(json_text(_json, '/CreationTime'), 'Z') || 'Z' as occurred_at,
        lower(json_text(_json, '/Workload')) as system,
        json_text(_json, '/Operation') as operation,
        json_text(_json, '/RecordType') as type_number,
        json_text(_json, '/UserType') as user_type,
        json_text(_json, '/UserId') as user_id,
        json_text(_json, '/ResultStatus') as result_status,
        coalesce(
            nullif(json_text(_json, '/ItemType'), 'Invalid'),
            case json_text(_json, '/ExtendedProperties/0/Name')
                when 'extendedAuditEventCategory' then json_text(_json, '/ExtendedProperties/0/Value')
            end,
            case json_text(_json, '/ExtendedProperties/1/Name')
                when 'extendedAuditEventCategory' then json_text(_json, '/ExtendedProperties/1/Value')
            end,
            'record type ' || json_text(_json, '/RecordType')
        ) as record_type,
        coalesce(
            json_text(_json, '/ObjectId'),
            json_text(_json, '/Item/Id'),
            json_text(_json, '/AffectedItems/0/Id'),
            json_text(_json, '/Shift/Id'),
            json_text(_json, '/MessageId'),
            json_text(_json, '/TeamGuid'),
            json_text(_json, '/AddOnGuid'),
            json_text(_json, '/MailboxGuid')
        ) as record_id,
        json_text(_json, '/Name') as setting,
        json_text(_json, '/OldValue') as setting_old_value,
        json_text(_json, '/NewValue') as setting_new_value,
        json_text(_json, '/Parameters') as parameters,
        coalesce(json_list(_json, '/ModifiedProperties'), [cast(null as varchar)]) as properties
    from source
),
listed as (
    select
        _file as source_file,
        _row as source_row,
        unnest(properties) as property,
        unnest(range(1, 1 + cast(array_length(properties) as bigint))) as place
    from records
),
changed as (
    select
        source_file,
        source_row,
        place,
        coalesce(json_text(property, '/Name'), property) as name,
        json_text(property, '/OldValue') as old_value,
        json_text(property, '/NewValue') as new_value
    from listed
    where property is not null
        and coalesce(json_text(property, '/Name'), property) not in ('Included Updated Properties', 'SPN')
        and coalesce(json_text(property, '/Name'), property) not like 'TargetId.%'
        and coalesce(json_text(property, '/Name'), property) not like 'ActorId.%'
        and (
            json_text(property, '/Name') is null
            or json_text(property, '/OldValue') is distinct from json_text(property, '/NewValue')
        )
),
verbs as (
    select
        *,
        case
            when operation ~ 'Log(ged|in)|SignIn' then null
            when operation ~ 'Accessed|CopilotInteraction|Downloaded|Exported|Previewed|Search|Viewed'
                then 'read'
            when operation ~ '^(Add|New)[ -]|^Added|^Create|Added$|Created$|Installed$' then 'create'
            when operation ~ '^(Delete|Remove)[ -]|^Removed|^MoveToDeletedItems$' then 'delete'
            when operation ~ 'Deleted?$|Removed$|Uninstalled$' then 'delete'
            when operation ~ '^Send' then 'send'
            when operation is not null then 'update'
        end as verb
    from records
),
classified as (
    select
        *,
        case
            when verb is null then null
            when verb = 'read' then 'data.accessed'
            when type_number in ('1', '8', '14') then 'config.changed'
            when operation ~ '(App|Connector|Mode|Permission|Policy|Role|Setting)s?([A-Z][a-z]+ed|Set)$'
                then 'config.changed'
            else 'action.executed'
        end as event_type,
        case
            when user_id like 'NT AUTHORITY%' or lower(user_id) = 'sharepoint\system' then 'system'
            when user_id like 'ServicePrincipal%' or user_type in ('5', '6') then 'automation'
            when user_type in ('4', '7', '8') then 'system'
            when user_type in ('0', '2', '3', '9', '10') then 'human'
        end as actor_kind
    from verbs
)
select
    id || '/' || cast(coalesce(place, 0) as varchar) as event_id,
    source,
    event_type,
    occurred_at,
    'microsoft365-audit' as workflow,
    id as run_id,
    case when event_type = 'action.executed' then id || '/' || cast(coalesce(place, 0) as varchar) end
        as action_id,
    actor_kind,
    user_id as actor_id,
    system,
    record_type,
    record_id,
    coalesce(name, setting, case when event_type = 'config.changed' then operation end) as field,
    verb as operation,
    case when name is not null then old_value else setting_old_value end as old_value,
    case when name is not null then new_value else coalesce(setting_new_value, parameters) end as new_value,
    case
        when result_status is null or result_status in ('Succeeded', 'Success', 'True') then 'succeeded'
        when result_status = 'PartiallySucceeded' then 'partial'
        when result_status in ('Failed', 'Failure', 'False') then 'failed'
        else 'unknown'
    end as outcome,
    operation as comment
from classified
left join changed on source_file = _file and source_row = _row
order by _file, _row, place
