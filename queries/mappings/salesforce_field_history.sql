-- question: Which fields of which Salesforce records changed, from what to what, and by whom?
-- grain:    one row per change of one field; one per creation, lock or other pseudo-row
-- params:   none
-- returns:  event_id    utf8  Id of the history row; of a lookup's two rows, the one with ids
--           source      utf8
--           event_type  utf8  action.executed
--           occurred_at utf8  CreatedDate, RFC 3339, whole seconds in most orgs
--           workflow    utf8
--           action_id   utf8  equal to event_id
--           actor_id    utf8  CreatedById
--           system      utf8
--           record_type utf8  FieldHistoryType, else by the parent column, else from <Name>__History in the
--                             file's name
--           record_id   utf8
--           field       utf8  null on pseudo-rows
--           operation   utf8  update, create, lock, unlock, or the pseudo-row's name, e.g. leadConverted
--           old_value   utf8  the empty string = was empty; null on pseudo-rows
--           new_value   utf8
--           outcome     utf8  succeeded: the history holds what was committed
--           comment     utf8  names of a lookup's old and new record, from its second row
-- needs:    source: CSV export of XHistory or FieldHistoryArchive: Id, Field, OldValue, NewValue,
--           CreatedById, CreatedDate, one parent column; DataType, FieldHistoryType if there are; _file, _row
-- why:      The history names a user, not whether a person or an integration wrote as that user, so
--           actor_kind stays null; set it in a copy of this mapping. A changed lookup gives two rows, one
--           with ids and one with names: they are folded into one event. Pseudo-rows (created, locked,
--           ownerAccepted ...) begin with a small letter and are no fields; custom fields hold a double
--           underscore. Fields longer than 255 characters have no values. Rows without Id, Field, parent,
--           or a readable date are refused.

with padded as (
    select * from source
    union all by name
    select
        cast(null as varchar) as "Id",
        cast(null as varchar) as "FieldHistoryType",
        cast(null as varchar) as "ParentId",
        cast(null as varchar) as "AccountId",
        cast(null as varchar) as "CampaignId",
        cast(null as varchar) as "CaseId",
        cast(null as varchar) as "ContactId",
        cast(null as varchar) as "ContractId",
        cast(null as varchar) as "LeadId",
        cast(null as varchar) as "OpportunityId",
        cast(null as varchar) as "OrderId",
        cast(null as varchar) as "Product2Id",
        cast(null as varchar) as "Field",
        cast(null as varchar) as "DataType",
        cast(null as varchar) as "OldValue",
        cast(null as varchar) as "NewValue",
        cast(null as varchar) as "CreatedById",
        cast(null as varchar) as "CreatedDate"
    where false
),
history_rows as (
    select
        _file,
        _row,
        "Id" as id,
        coalesce(
            "FieldHistoryType",
            case
                when "AccountId" is not null then 'Account'
                when "CampaignId" is not null then 'Campaign'
                when "CaseId" is not null then 'Case'
                when "ContactId" is not null then 'Contact'
                when "ContractId" is not null then 'Contract'
                when "LeadId" is not null then 'Lead'
                when "OpportunityId" is not null then 'Opportunity'
                when "OrderId" is not null then 'Order'
                when "Product2Id" is not null then 'Product2'
            end,
            regexp_match(_file, '([^/]+)__History')[1] || '__c'
        ) as record_type,
        coalesce(
            "ParentId", "AccountId", "CampaignId", "CaseId", "ContactId", "ContractId", "LeadId",
            "OpportunityId", "OrderId", "Product2Id"
        ) as record_id,
        "Field" as field,
        "Field" ~ '^[a-z]' and strpos("Field", '__') = 0 as is_pseudo,
        coalesce("OldValue", '') as old_value,
        coalesce("NewValue", '') as new_value,
        "CreatedById" as actor_id,
        regexp_replace("CreatedDate", '([+-][0-9]{2})([0-9]{2})$', '\1:\2') as occurred_at,
        case
            when "DataType" is not null then "DataType" = 'EntityId'
            else coalesce("OldValue", "NewValue") ~ '^[A-Za-z0-9]{15}([A-Za-z0-9]{3})?$'
                and coalesce("NewValue", "OldValue") ~ '^[A-Za-z0-9]{15}([A-Za-z0-9]{3})?$'
        end as is_id
    from padded
),
numbered as (
    select
        *,
        row_number() over (
            partition by record_id, field, occurred_at, actor_id, is_id
            order by _file, _row
        ) as ordinal
    from history_rows
),
paired as (
    select
        *,
        max(case when is_id then id end) over pair as id_row,
        max(case when not is_id then concat(old_value, ' -> ', new_value) end) over pair as names
    from numbered
    window pair as (partition by record_id, field, occurred_at, actor_id, ordinal)
)
select
    id as event_id,
    'salesforce://field-history' as source,
    case when field is not null and record_id is not null then 'action.executed' end as event_type,
    occurred_at,
    'salesforce-field-history' as workflow,
    id as action_id,
    actor_id,
    'salesforce' as system,
    record_type,
    record_id,
    case when not is_pseudo then field end as field,
    case
        when not is_pseudo then 'update'
        when field = 'created' then 'create'
        when field = 'locked' then 'lock'
        when field = 'unlocked' then 'unlock'
        else field
    end as operation,
    case when not is_pseudo then old_value end as old_value,
    case when not is_pseudo then new_value end as new_value,
    'succeeded' as outcome,
    case when is_id and not is_pseudo then names end as comment
from paired
where is_id
    or is_pseudo
    or id_row is null
    or field is null
    or record_id is null
    or occurred_at is null
order by _file, _row
