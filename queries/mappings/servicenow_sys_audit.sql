-- question: Which fields of which ServiceNow records changed, from what to what, and by whom?
-- grain:    one row per entry of sys_audit: a change of one field, or a deletion
-- params:   none
-- returns:  event_id    utf8  sys_id, field and time of the entry
--           source      utf8
--           event_type  utf8  action.executed
--           occurred_at utf8  sys_created_on, which the Table API gives in UTC
--           workflow    utf8
--           run_id      utf8  record and checkpoint: the changes saved together; null without a checkpoint
--           action_id   utf8  equal to event_id
--           actor_kind  utf8  system for the users system and guest, else null
--           actor_id    utf8  user, else sys_created_by
--           system      utf8
--           record_type utf8  tablename
--           record_id   utf8  documentkey
--           field       utf8  null on a deletion
--           operation   utf8  update, delete, or create for a value given at checkpoint 0
--           old_value   utf8  the empty string = was empty; null on a deletion
--           new_value   utf8
--           outcome     utf8  succeeded: the table holds what was saved
--           comment     utf8  reason
-- needs:    source: _json, records of the table sys_audit as the Table API gives them (raw values, not
--           display values); _file, _row
-- why:      The table names an account, not whether a person or an integration uses it, so actor_kind stays
--           null but for the platform's own users. An entry DELETED says that the record went, not what it
--           held. Fields that are not audited are not there. Entries without sys_id, table, key, field or
--           time are refused.

with entries as (
    select
        _file,
        _row,
        json_text(_json, '/sys_id') as id,
        json_text(_json, '/tablename') as record_type,
        json_text(_json, '/documentkey') as record_id,
        json_text(_json, '/fieldname') as field,
        json_text(_json, '/fieldname') = 'DELETED' as is_deletion,
        coalesce(json_text(_json, '/oldvalue'), '') as old_value,
        coalesce(json_text(_json, '/newvalue'), '') as new_value,
        coalesce(nullif(json_text(_json, '/user'), ''), json_text(_json, '/sys_created_by')) as actor_id,
        nullif(json_text(_json, '/record_checkpoint'), '') as checkpoint,
        replace(json_text(_json, '/sys_created_on'), ' ', 'T') || 'Z' as occurred_at,
        json_text(_json, '/reason') as reason
    from source
)
select
    id || '/' || field || '/' || occurred_at as event_id,
    'servicenow://sys-audit' as source,
    case when record_type <> '' and record_id <> '' then 'action.executed' end as event_type,
    occurred_at,
    'servicenow-sys-audit' as workflow,
    record_id || '/' || checkpoint as run_id,
    id || '/' || field || '/' || occurred_at as action_id,
    case when actor_id in ('system', 'guest') then 'system' end as actor_kind,
    actor_id,
    'servicenow' as system,
    record_type,
    record_id,
    case when not is_deletion then field end as field,
    case when is_deletion then 'delete' when checkpoint = '0' then 'create' else 'update' end as operation,
    case when not is_deletion then old_value end as old_value,
    case when not is_deletion then new_value end as new_value,
    'succeeded' as outcome,
    reason as comment
from entries
order by _file, _row
