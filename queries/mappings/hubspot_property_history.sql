-- question: Which properties of which HubSpot objects changed, from what to what, and by whom or what?
-- grain:    one row per version of a property
-- params:   none
-- returns:  event_id    utf8  object, property, time of the version, and its ordinal at that time
--           source      utf8
--           event_type  utf8  action.executed
--           occurred_at utf8  RFC 3339
--           workflow    utf8
--           trigger     utf8  sourceType
--           action_id   utf8  equal to event_id
--           actor_kind  utf8  by sourceType; null where it does not tell
--           actor_id    utf8  the user's number, else sourceId, else sourceLabel
--           system      utf8
--           record_type utf8  objectType or objectTypeId if the record has it, else the file's name up to the
--                             first point: contacts.json holds contacts
--           record_id   utf8
--           field       utf8
--           operation   utf8  update
--           old_value   utf8  the next older version; null for the oldest one kept
--           new_value   utf8
--           outcome     utf8  succeeded: the history holds what was saved
--           comment     utf8  sourceLabel
-- needs:    source: _json, CRM objects with id and propertiesWithHistory, versions newest first; _file, _row
-- why:      A version has its value but not the one before: that is the next older version. HubSpot keeps a
--           bounded number of versions, so the oldest one kept is not known to be the first, and its old
--           value is not captured. sourceType tells people (CRM_UI, mobile apps), agents (AI..., CHATSPOT),
--           integrations, imports and workflows apart; of a type not listed here actor_kind stays null. The
--           API's records name no object type. An object without a history is refused, as
--           is a property without a version.

with objects as (
    select
        _file,
        _row,
        coalesce(
            json_text(_json, '/objectType'),
            json_text(_json, '/objectTypeId'),
            regexp_match(_file, '([^/.]+)[^/]*$')[1]
        ) as record_type,
        json_text(_json, '/id') as record_id,
        case
            when array_length(json_keys(_json, '/propertiesWithHistory')) > 0
                then json_keys(_json, '/propertiesWithHistory')
            else [cast(null as varchar)]
        end as fields,
        _json
    from source
),
properties as (
    select
        _file,
        _row,
        record_type,
        record_id,
        field,
        case
            when array_length(json_list(_json, '/propertiesWithHistory/' || field)) > 0
                then json_list(_json, '/propertiesWithHistory/' || field)
            else [cast(null as varchar)]
        end as versions
    from (select *, unnest(fields) as field from objects)
),
versions as (
    select
        _file,
        _row,
        record_type,
        record_id,
        field,
        unnest(versions) as version,
        unnest(range(0, cast(array_length(versions) as bigint))) as age
    from properties
),
changes as (
    select
        _file,
        _row,
        record_type,
        record_id,
        field,
        age,
        json_text(version, '/timestamp') as occurred_at,
        case when version is not null then coalesce(json_text(version, '/value'), '') end as new_value,
        json_text(version, '/sourceType') as source_type,
        json_text(version, '/sourceId') as source_id,
        json_text(version, '/sourceLabel') as source_label,
        json_text(version, '/updatedByUserId') as user_id
    from versions
),
ordered as (
    select
        *,
        lead(new_value) over (partition by _file, _row, field order by age) as old_value,
        row_number() over (partition by _file, _row, field, occurred_at order by age desc) as ordinal,
        case
            when source_type like 'AI%' or source_type = 'CHATSPOT' then 'agent'
            when source_type like 'CRM_UI%' or source_type like 'MOBILE_%' then 'human'
            when source_type in ('CALCULATED', 'DEFAULT') then 'system'
            when source_type like '%INTEGRATION%' then 'automation'
            when source_type in (
                'API', 'AUTOMATION_PLATFORM', 'BATCH_UPDATE', 'BOT', 'IMPORT', 'MIGRATION', 'SALESFORCE',
                'WORKFLOWS'
            ) then 'automation'
        end as actor_kind
    from changes
),
named as (
    select
        *,
        record_type || '/' || record_id || '/' || field || '/' || occurred_at
            || '/' || cast(ordinal as varchar) as id
    from ordered
)
select
    id as event_id,
    'hubspot://property-history' as source,
    'action.executed' as event_type,
    occurred_at,
    'hubspot-property-history' as workflow,
    source_type as trigger,
    id as action_id,
    actor_kind,
    coalesce(user_id, nullif(regexp_replace(source_id, '^userId:', ''), ''), source_label) as actor_id,
    'hubspot' as system,
    record_type,
    record_id,
    field,
    'update' as operation,
    old_value,
    new_value,
    'succeeded' as outcome,
    source_label as comment
from named
order by _file, _row, field, age desc
