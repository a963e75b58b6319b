-- question: What happened to the incidents of a ServiceNow audit log (UCI 498), as evidence?
-- grain:    one row per event: an incident examined, a field changed, a routing corrected
-- params:   none
-- returns:  event_id     utf8       number, ordinal of the row within its incident, and field
--           source       utf8
--           event_type   utf8       record.reviewed, action.executed or record.corrected
--           occurred_at  timestamp  the log names no zone; read as UTC
--           workflow     utf8
--           batch_id     utf8       month of opening, YYYY-MM, of record.reviewed only
--           action_id    utf8       equal to event_id, of action.executed only
--           actor_kind   utf8       null on record.reviewed: the log does not name who examined
--           actor_id     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           operation    utf8
--           old_value    utf8       the empty string where the log says ?
--           new_value    utf8
--           outcome      utf8
--           correction   utf8
-- needs:    source: the columns of incident_event_log.csv as text, _file, _row
-- why:      closed_code, resolved_by, resolved_at and closed_at repeat final values on every row, so
--           they are no changes. File order is the truth (sys_mod_count decreases at times). A row
--           whose group is ? says nothing about routing: the last known group is the one before.

with incident_rows as (
    select
        _file,
        _row,
        number,
        row_number() over incident as ordinal,
        max(nullif(assignment_group, '?')) over (partition by number) is not null as was_ever_routed,
        opened_at,
        sys_updated_at,
        sys_updated_by,
        incident_state,
        lag(incident_state) over incident as old_incident_state,
        active,
        lag(active) over incident as old_active,
        made_sla,
        lag(made_sla) over incident as old_made_sla,
        caller_id,
        lag(caller_id) over incident as old_caller_id,
        contact_type,
        lag(contact_type) over incident as old_contact_type,
        location,
        lag(location) over incident as old_location,
        category,
        lag(category) over incident as old_category,
        subcategory,
        lag(subcategory) over incident as old_subcategory,
        u_symptom,
        lag(u_symptom) over incident as old_u_symptom,
        cmdb_ci,
        lag(cmdb_ci) over incident as old_cmdb_ci,
        impact,
        lag(impact) over incident as old_impact,
        urgency,
        lag(urgency) over incident as old_urgency,
        priority,
        lag(priority) over incident as old_priority,
        assigned_to,
        lag(assigned_to) over incident as old_assigned_to,
        knowledge,
        lag(knowledge) over incident as old_knowledge,
        u_priority_confirmation,
        lag(u_priority_confirmation) over incident as old_u_priority_confirmation,
        problem_id,
        lag(problem_id) over incident as old_problem_id,
        rfc,
        lag(rfc) over incident as old_rfc,
        vendor,
        lag(vendor) over incident as old_vendor,
        caused_by,
        lag(caused_by) over incident as old_caused_by,
        nullif(assignment_group, '?') as assignment_group,
        lag(nullif(assignment_group, '?')) ignore nulls over incident as old_assignment_group
    from source
    window incident as (partition by number order by _file, _row)
),
positions as (
    select
        *,
        unnest(array_compact([
            case when ordinal = 1 and was_ever_routed then 0 end,
            case when old_incident_state <> incident_state then 1 end,
            case when old_active <> active then 2 end,
            case when old_made_sla <> made_sla then 3 end,
            case when old_caller_id <> caller_id then 4 end,
            case when old_contact_type <> contact_type then 5 end,
            case when old_location <> location then 6 end,
            case when old_category <> category then 7 end,
            case when old_subcategory <> subcategory then 8 end,
            case when old_u_symptom <> u_symptom then 9 end,
            case when old_cmdb_ci <> cmdb_ci then 10 end,
            case when old_impact <> impact then 11 end,
            case when old_urgency <> urgency then 12 end,
            case when old_priority <> priority then 13 end,
            case when old_assigned_to <> assigned_to then 14 end,
            case when old_knowledge <> knowledge then 15 end,
            case when old_u_priority_confirmation <> u_priority_confirmation then 16 end,
            case when old_problem_id <> problem_id then 17 end,
            case when old_rfc <> rfc then 18 end,
            case when old_vendor <> vendor then 19 end,
            case when old_caused_by <> caused_by then 20 end,
            case when old_assignment_group <> assignment_group then 21 end
        ])) as position
    from incident_rows
),
facts as (
    select
        _file,
        _row,
        position,
        number,
        ordinal,
        opened_at,
        sys_updated_at,
        sys_updated_by,
        [
            'incident_state', 'active', 'made_sla', 'caller_id', 'contact_type', 'location',
            'category', 'subcategory', 'u_symptom', 'cmdb_ci', 'impact', 'urgency', 'priority',
            'assigned_to', 'knowledge', 'u_priority_confirmation', 'problem_id', 'rfc', 'vendor',
            'caused_by', 'assignment_group'
        ][position] as field,
        [
            old_incident_state, old_active, old_made_sla, old_caller_id, old_contact_type,
            old_location, old_category, old_subcategory, old_u_symptom, old_cmdb_ci, old_impact,
            old_urgency, old_priority, old_assigned_to, old_knowledge, old_u_priority_confirmation,
            old_problem_id, old_rfc, old_vendor, old_caused_by, old_assignment_group
        ][position] as old_value,
        [
            incident_state, active, made_sla, caller_id, contact_type, location, category,
            subcategory, u_symptom, cmdb_ci, impact, urgency, priority, assigned_to, knowledge,
            u_priority_confirmation, problem_id, rfc, vendor, caused_by, assignment_group
        ][position] as new_value
    from positions
),
events as (
    select
        _file,
        _row,
        position,
        case position
            when 0 then 'record.reviewed'
            when 21 then 'record.corrected'
            else 'action.executed'
        end as event_type,
        concat(number, '#', ordinal, '/', coalesce(field, 'reviewed')) as id,
        to_timestamp_micros(
            case position when 0 then opened_at else sys_updated_at end, '%d/%m/%Y %H:%M'
        ) as occurred_at,
        number,
        case when position > 0 then sys_updated_by end as actor_id,
        field,
        case old_value when '?' then '' else old_value end as old_value,
        case new_value when '?' then '' else new_value end as new_value
    from facts
)
select
    id as event_id,
    'servicenow://uci-498/incident' as source,
    event_type,
    arrow_cast(occurred_at, 'Timestamp(Microsecond, Some("UTC"))') as occurred_at,
    'incident-routing' as workflow,
    case when event_type = 'record.reviewed' then to_char(occurred_at, '%Y-%m') end as batch_id,
    case when event_type = 'action.executed' then id end as action_id,
    case
        when actor_id is null then null
        when actor_id = 'Updated by 908' then 'automation'
        else 'human'
    end as actor_kind,
    actor_id,
    'servicenow' as system,
    'incident' as record_type,
    number as record_id,
    field,
    case when event_type = 'action.executed' then 'update' end as operation,
    old_value,
    new_value,
    case when event_type = 'action.executed' then 'succeeded' end as outcome,
    case when event_type = 'record.corrected' then 'routing' end as correction
from events
order by _file, _row, position
