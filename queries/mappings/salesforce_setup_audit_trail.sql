-- question: Who changed the setup of a Salesforce org, and how?
-- grain:    one row per entry of the setup audit trail
-- params:   none
-- returns:  event_id    utf8  Id, action and time of the entry
--           source      utf8
--           event_type  utf8  config.changed
--           occurred_at utf8  RFC 3339
--           workflow    utf8
--           actor_kind  utf8  human; automation when CreatedByContext names a service, e.g. Einstein
--           actor_id    utf8  the delegate when one was logged in as the user, else the user's name, else id
--           system      utf8
--           record_type utf8  section of Setup
--           field       utf8  the action's code, e.g. PermSetEnableUserPerm
--           new_value   utf8  the text of the entry
--           comment     utf8  who was logged in as whom
-- needs:    source: _json, records of the object SetupAuditTrail as the REST API gives them, or with the
--           names record_id, action, display, section, sfdc_created_by_username ...; _file, _row
-- why:      The trail tells old and new value only in the words of the text, differently for each action:
--           the text is kept whole and nothing is guessed from it. It has no outcome: what is listed was
--           done. It covers 180 days. The CSV of the Setup page has no ids and no zone and is not read.
--           Entries without id, action or time are refused, as is one without a person or service.

with entries as (
    select
        _file,
        _row,
        coalesce(json_text(_json, '/Id'), json_text(_json, '/record_id')) as id,
        coalesce(json_text(_json, '/Action'), json_text(_json, '/action')) as action,
        regexp_replace(
            coalesce(json_text(_json, '/CreatedDate'), json_text(_json, '/sfdc_created_date')),
            '([+-][0-9]{2})([0-9]{2})$',
            '\1:\2'
        ) as occurred_at,
        coalesce(json_text(_json, '/Section'), json_text(_json, '/section')) as section,
        coalesce(json_text(_json, '/Display'), json_text(_json, '/display')) as display,
        coalesce(json_text(_json, '/DelegateUser'), json_text(_json, '/delegate_user')) as delegate,
        json_text(_json, '/CreatedByContext') as service,
        coalesce(
            json_text(_json, '/CreatedBy/Username'),
            json_text(_json, '/sfdc_created_by_username'),
            json_text(_json, '/CreatedById'),
            json_text(_json, '/sfdc_created_by_id')
        ) as user_name
    from source
)
select
    id || '/' || action || '/' || occurred_at as event_id,
    'salesforce://setup-audit-trail' as source,
    case when coalesce(delegate, user_name, service) is not null then 'config.changed' end as event_type,
    occurred_at,
    'salesforce-setup' as workflow,
    case when service is null then 'human' else 'automation' end as actor_kind,
    coalesce(delegate, user_name, service) as actor_id,
    'salesforce' as system,
    section as record_type,
    action as field,
    display as new_value,
    delegate || ' logged in as ' || user_name as comment
from entries
order by _file, _row
