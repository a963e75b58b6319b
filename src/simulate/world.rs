//! The world that is simulated: record types, workflows, people and their words.
//!
//! Pure tables, after the shipped policy `queries/policies/revops.toml`: the same workflows, areas, levels, fields
//! and roles. One workflow, `refund-desk`, is not in that policy, so that a control has something to find.
//! Invariant: value 0 of a field is the empty string and the last value is wrong for every record; only planted
//! incidents and what was derived from them write it.

use std::sync::LazyLock;

/// Fields of a record type that are written, and hence have a value each.
pub const FIELDS: usize = 4;

/// A kind of record in a system of record.
pub struct RecordType {
    pub system: &'static str,
    pub name: &'static str,
    pub prefix: &'static str,
    /// Written fields; inputs count on with the two of `sources`.
    pub fields: [&'static str; FIELDS],
    pub values: [&'static [&'static str]; FIELDS],
    /// Fields that are only read.
    pub sources: [&'static str; 2],
    /// Share of all records, in percent.
    pub percent: u64,
    pub has_subject: bool,
}

impl RecordType {
    /// The name of field `i`, written or only read.
    pub fn field(&self, i: usize) -> &'static str {
        self.fields.get(i).copied().unwrap_or_else(|| self.sources[(i - FIELDS) % 2])
    }
}

#[rustfmt::skip]
const OWNERS: &[&str] = &["", "anna.weber", "ben.okafor", "carla.rossi", "dev.patel", "elif.kaya", "finn.larsen",
    "grace.liu", "hugo.martin", "ines.costa", "jonas.berg", "kira.novak", "liam.walsh", "mei.tanaka", "noor.haddad",
    "olga.petrova", "unassigned-archive"];
#[rustfmt::skip]
const QUEUES: &[&str] = &["", "emea-smb", "emea-mid", "emea-enterprise", "amer-smb", "amer-mid", "amer-enterprise",
    "apac-smb", "apac-enterprise", "partners", "spam-quarantine"];
#[rustfmt::skip]
const COUNTRIES: &[&str] = &["", "DE", "FR", "GB", "US", "IT", "ES", "NL", "SE", "PL", "IN", "JP", "BR", "AQ"];
#[rustfmt::skip]
const LEAD_SOURCES: &[&str] = &["", "web form", "trade fair", "webinar", "partner referral", "cold call", "newsletter",
    "pricing page", "import 1970"];
#[rustfmt::skip]
const INDUSTRIES: &[&str] = &["", "manufacturing", "retail", "logistics", "banking", "insurance", "health care",
    "software", "energy", "education", "public sector", "construction", "gambling"];
#[rustfmt::skip]
const EMPLOYEES: &[&str] = &["", "8", "25", "60", "120", "250", "480", "900", "1800", "4200", "9500", "21000", "1"];
#[rustfmt::skip]
const DESCRIPTIONS: &[&str] = &["", "Renewal in autumn, procurement asks for the new terms",
    "Two sites, one contract; invoices go to Lyon", "Evaluates us against the incumbent until March",
    "Customer since 2019, expanded twice", "Wants a call before any change of plan",
    "Reference customer, handle with care", "Merged with its parent last year", "Pilot of 40 seats in the service team",
    "Parent account holds the credit limit", "Key contact on leave until May",
    "Asked for \"no newsletters\" by phone", "lorem ipsum"];
#[rustfmt::skip]
const STAGES: &[&str] = &["", "subscriber", "lead", "marketing qualified", "sales qualified", "opportunity", "customer",
    "evangelist", "deceased"];
#[rustfmt::skip]
const MESSAGES: &[&str] = &["", "reminder: your trial ends on Friday", "thank you for your order",
    "your ticket was answered", "invitation to the customer day", "your renewal offer", "survey: how did we do?",
    "new contact person for your account", "final notice: your account is closed"];
#[rustfmt::skip]
const DRAFTS: &[&str] = &["", "Dear customer, thank you for your patience; we found the cause and fixed it.",
    "Hello, the offer you asked for is attached and valid for 30 days.",
    "Hello, could we talk for ten minutes this week?",
    "Dear customer, your invoice has been corrected.", "Hello, your new contact person is in copy.",
    "Hello {{first_name}}"];
#[rustfmt::skip]
const TITLES: &[&str] = &["", "CFO", "Head of IT", "Buyer", "Team lead", "Operations manager", "Founder", "n/a"];
#[rustfmt::skip]
const TICKET_QUEUES: &[&str] = &["", "billing", "login", "integrations", "hardware", "data export", "complaints",
    "trash"];
const PRIORITIES: &[&str] = &["", "low", "normal", "high", "urgent", "p9"];
#[rustfmt::skip]
const PRODUCTS: &[&str] = &["", "core", "analytics", "mobile", "connect", "archive", "discontinued"];
const STATUSES: &[&str] = &["", "new", "open", "pending customer", "on hold", "solved", "closed"];
#[rustfmt::skip]
const DISCOUNTS: &[&str] = &["", "0 %", "3 %", "5 %", "8 %", "10 %", "12 %", "15 %", "20 %", "95 %"];
#[rustfmt::skip]
const TERMS: &[&str] = &["", "14 days", "30 days", "45 days", "60 days", "prepaid", "never"];
const TIERS: &[&str] = &["", "desk", "manager", "controller", "board", "none"];
#[rustfmt::skip]
const NOTES: &[&str] = &["", "checked against the framework contract", "customer asked for a split invoice",
    "special price agreed by phone", "see the attachment", "to be confirmed", "test test"];
#[rustfmt::skip]
const REFUND_STATES: &[&str] = &["", "requested", "checked", "refunded", "partly refunded", "declined",
    "refunded twice"];
#[rustfmt::skip]
const REFUND_REASONS: &[&str] = &["", "late delivery", "damaged", "wrong item", "duplicate payment", "goodwill", "?"];
const CHANNELS: &[&str] = &["", "card", "transfer", "voucher", "cash", "lost"];

/// Every record type.
#[rustfmt::skip]
pub const TYPES: [RecordType; 6] = [
    RecordType { system: "salesforce", name: "Lead", prefix: "L-", percent: 34, has_subject: true,
        fields: ["OwnerId", "Queue__c", "Country", "LeadSource"], values: [OWNERS, QUEUES, COUNTRIES, LEAD_SOURCES],
        sources: ["Web_Form__c", "Company"] },
    RecordType { system: "salesforce", name: "Account", prefix: "A-", percent: 26, has_subject: false,
        fields: ["OwnerId", "Industry", "NumberOfEmployees", "Description"],
        values: [OWNERS, INDUSTRIES, EMPLOYEES, DESCRIPTIONS], sources: ["Domain__c", "Contract_Start__c"] },
    RecordType { system: "salesforce", name: "Contact", prefix: "C-", percent: 17, has_subject: true,
        fields: ["LifecycleStage__c", "Last_Message__c", "Reply_Draft__c", "Title"],
        values: [STAGES, MESSAGES, DRAFTS, TITLES], sources: ["Last_Activity__c", "Email"] },
    RecordType { system: "zendesk", name: "Ticket", prefix: "T-", percent: 15, has_subject: true,
        fields: ["Queue", "Priority", "Product", "Status"], values: [TICKET_QUEUES, PRIORITIES, PRODUCTS, STATUSES],
        sources: ["Subject", "Body"] },
    RecordType { system: "sap", name: "Quote", prefix: "Q-", percent: 5, has_subject: false,
        fields: ["Discount__c", "Payment_Terms__c", "Approval_Tier__c", "Notes__c"],
        values: [DISCOUNTS, TERMS, TIERS, NOTES], sources: ["Order_Value__c", "Customer_Class__c"] },
    RecordType { system: "sap", name: "Refund", prefix: "R-", percent: 3, has_subject: false,
        fields: ["Refund_Status__c", "Refund_Reason__c", "Channel__c", "Notes__c"],
        values: [REFUND_STATES, REFUND_REASONS, CHANNELS, NOTES], sources: ["Order_Id__c", "Complaint__c"] },
];

/// What a workflow changes.
pub struct Target {
    /// Index among the written fields of the record type.
    pub field: u8,
    pub operation: &'static str,
    pub level: u8,
    pub needs_approval: bool,
    pub issue: &'static str,
    /// Kind of a correction of this field by a person.
    pub correction: &'static str,
    pub reversibility: &'static str,
}

const fn target(field: u8, operation: &'static str, level: u8, needs_approval: bool, issue: &'static str) -> Target {
    let correction = match issue.as_bytes() {
        b"routing_error" => "routing",
        b"stale_owner" => "owner",
        b"lifecycle_mismatch" => "lifecycle",
        b"duplicate" => "duplicate",
        b"missing_required_field" => "required_field",
        _ => "other",
    };
    let reversibility = match operation.as_bytes() {
        b"send" => "irreversible",
        b"refund" => "compensable",
        _ => "reversible",
    };
    Target { field, operation, level, needs_approval, issue, correction, reversibility }
}

/// One agentic workflow.
pub struct Workflow {
    pub name: &'static str,
    /// Prefix of its batch ids.
    pub code: &'static str,
    pub source: u8,
    pub weight: u64,
    pub area: &'static str,
    pub record_type: u8,
    pub agents: &'static [&'static str],
    /// Name of its versions: `<stem>-prompt-3`, `<stem>-3`, `<stem>-model-3`.
    pub stem: &'static str,
    pub threshold: f64,
    pub targets: &'static [Target],
    /// Roles that may approve.
    pub roles: &'static [&'static str],
    /// A field that the policy blocks here.
    pub blocked: Option<&'static str>,
    pub has_amount: bool,
}

pub const LEAD_ROUTING: u8 = 0;
pub const HYGIENE: u8 = 1;
pub const ENRICHMENT: u8 = 3;
pub const MESSAGES_DESK: u8 = 5;

/// Every workflow, the most active first (weights after Zipf).
#[rustfmt::skip]
pub const WORKFLOWS: [Workflow; 8] = [
    Workflow { name: "lead-routing", code: "LR-", source: 0, weight: 1000, area: "lead_routing", record_type: 0,
        agents: &["routing-agent"], stem: "routing", threshold: 0.8, blocked: None, has_amount: false,
        roles: &["revops_manager", "revops_analyst", "sales_manager"],
        targets: &[target(0, "assign", 4, true, "stale_owner"), target(1, "assign", 4, true, "routing_error"),
            target(3, "update", 3, false, "missing_required_field")] },
    Workflow { name: "crm-hygiene-routing", code: "CH-", source: 0, weight: 500, area: "crm_fields", record_type: 1,
        agents: &["hygiene-agent", "crm-agent"], stem: "hygiene", threshold: 0.7, blocked: Some("Health_Notes__c"),
        has_amount: false, roles: &["revops_manager", "revops_analyst"],
        targets: &[target(0, "update", 4, true, "stale_owner"), target(3, "update", 3, false, "missing_required_field"),
            target(1, "update", 3, false, "rule_violation")] },
    Workflow { name: "support-triage", code: "ST-", source: 2, weight: 333, area: "support_triage", record_type: 3,
        agents: &["triage-agent"], stem: "triage", threshold: 0.7, blocked: Some("Health_Notes__c"), has_amount: false,
        roles: &["support_lead"],
        targets: &[target(0, "assign", 3, false, "routing_error"), target(1, "tag", 3, false, "rule_violation"),
            target(2, "tag", 3, false, "missing_required_field"), target(3, "update", 3, true, "lifecycle_mismatch")] },
    Workflow { name: "enrichment", code: "EN-", source: 0, weight: 250, area: "enrichment", record_type: 1,
        agents: &["enrichment-agent"], stem: "enrich", threshold: 0.7, blocked: Some("SSN__c"), has_amount: false,
        roles: &["revops_manager", "marketing_ops"],
        targets: &[target(1, "update", 3, false, "missing_required_field"),
            target(2, "update", 3, false, "missing_required_field")] },
    Workflow { name: "lifecycle-sync", code: "LS-", source: 0, weight: 200, area: "lifecycle", record_type: 2,
        agents: &["lifecycle-agent"], stem: "lifecycle", threshold: 0.7, blocked: None, has_amount: false,
        roles: &["revops_manager", "marketing_ops"],
        targets: &[target(0, "update", 4, true, "lifecycle_mismatch")] },
    Workflow { name: "customer-messages", code: "CM-", source: 2, weight: 167, area: "customer_messages",
        record_type: 2,
        agents: &["message-agent"], stem: "message", threshold: 0.85, blocked: Some("SSN__c"), has_amount: false,
        roles: &["customer_success_lead"],
        targets: &[target(1, "send", 5, true, "other"), target(2, "create", 2, true, "other")] },
    Workflow { name: "quote-desk", code: "QD-", source: 1, weight: 143, area: "finance_fields", record_type: 4,
        agents: &["quote-agent"], stem: "quote", threshold: 0.7, blocked: Some("Bank_Account__c"), has_amount: true,
        roles: &["deal_desk", "finance_controller", "cfo"],
        targets: &[target(0, "update", 4, true, "rule_violation"), target(1, "update", 4, true, "rule_violation"),
            target(2, "update", 4, true, "missing_required_field")] },
    Workflow { name: "refund-desk", code: "RD-", source: 1, weight: 50, area: "refunds", record_type: 5,
        agents: &["refund-agent"], stem: "refund", threshold: 0.7, blocked: None, has_amount: true,
        roles: &["deal_desk", "finance_controller", "cfo"],
        targets: &[target(0, "refund", 5, true, "other"), target(1, "update", 4, true, "missing_required_field")] },
];

/// The producers of the evidence.
pub const SOURCES: [&str; 3] = ["sim://crm/agent-runtime", "sim://erp/agent-runtime", "sim://support/agent-runtime"];
/// Customer groups; the first three are those of the shipped policy.
pub const SEGMENTS: [&str; 5] = ["smb", "mid_market", "enterprise", "public_sector", "startup"];

/// A person who decides.
pub struct Reviewer {
    pub person: &'static str,
    pub role: &'static str,
    /// Approvals in a hundred decisions.
    pub approves: u64,
    /// Hours until half of what waits is decided.
    pub hours: i64,
    /// Decisions in a hundred that are taken within seconds of opening.
    pub hasty: u64,
}

const fn who(person: &'static str, role: &'static str, approves: u64, hours: i64, hasty: u64) -> Reviewer {
    Reviewer { person, role, approves, hours, hasty }
}

/// Everyone who decides.
pub const REVIEWERS: [Reviewer; 27] = [
    who("revops-manager", "revops_manager", 82, 9, 0),
    who("r.schulz", "revops_manager", 78, 14, 1),
    who("revops-analyst", "revops_analyst", 80, 3, 2),
    who("a.brandt", "revops_analyst", 86, 2, 1),
    who("m.oduya", "revops_analyst", 74, 5, 0),
    who("p.leclerc", "revops_analyst", 99, 1, 38),
    who("s.iyer", "revops_analyst", 83, 4, 1),
    who("t.nowak", "revops_analyst", 68, 6, 0),
    who("sales-manager", "sales_manager", 88, 11, 4),
    who("d.fischer", "sales_manager", 91, 20, 6),
    who("k.adeyemi", "sales_manager", 85, 8, 2),
    who("v.moreau", "sales_manager", 79, 16, 1),
    who("marketing-ops", "marketing_ops", 84, 5, 1),
    who("l.svensson", "marketing_ops", 77, 7, 0),
    who("j.park", "marketing_ops", 89, 3, 3),
    who("customer-success-lead", "customer_success_lead", 81, 4, 0),
    who("e.garcia", "customer_success_lead", 72, 6, 0),
    who("h.yilmaz", "customer_success_lead", 87, 2, 5),
    who("deal-desk", "deal_desk", 80, 5, 1),
    who("c.dubois", "deal_desk", 76, 8, 0),
    who("n.ahmed", "deal_desk", 85, 4, 2),
    who("finance-controller", "finance_controller", 70, 22, 0),
    who("b.keller", "finance_controller", 73, 18, 0),
    who("cfo", "cfo", 66, 40, 0),
    who("support-lead", "support_lead", 86, 2, 2),
    who("i.silva", "support_lead", 82, 3, 1),
    who("o.hansen", "support_lead", 90, 1, 9),
];

/// Who changes prompts, rules and models.
pub const ENGINEERS: [&str; 3] = ["ai-platform-engineer", "y.cohen", "z.malik"];

/// The lines of the table `[roles]` of a policy that knows everyone of this world, one role a line: without them
/// most approvals here are by people whom a policy does not entitle.
pub fn roles_toml() -> String {
    let mut roles: Vec<(&str, Vec<&str>)> = Vec::new();
    let engineers = ENGINEERS.iter().map(|person| ("ai_platform", *person));
    for (role, person) in REVIEWERS.iter().map(|r| (r.role, r.person)).chain(engineers) {
        match roles.iter_mut().find(|(known, _)| *known == role) {
            Some((_, people)) => people.push(person),
            None => roles.push((role, vec![person])),
        }
    }
    roles.iter().map(|(role, people)| format!("{role} = [\"{}\"]\n", people.join("\", \""))).collect()
}

/// Kinds of version, in the order of the columns `prompt_version`, `rule_version`, `model_version`.
pub const VERSION_KINDS: [&str; 3] = ["prompt_version", "rule_version", "model_version"];
/// Versions that one stream may count up to.
pub const VERSIONS: usize = 64;

/// The name of version `n` (from 0, at most [`VERSIONS`] - 1) of a kind in a workflow.
pub fn version_name(workflow: u8, kind: u8, n: u8) -> &'static str {
    // Names are made once, since a draft borrows them for as long as the program runs.
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let infixes = ["-prompt-", "-", "-model-"];
        let streams = WORKFLOWS.iter().flat_map(|w| infixes.map(|infix| (w.stem, infix)));
        streams.flat_map(|(stem, infix)| (1..=VERSIONS).map(move |n| format!("{stem}{infix}{n}"))).collect()
    });
    &NAMES[(usize::from(workflow) * 3 + usize::from(kind)) * VERSIONS + usize::from(n) % VERSIONS]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_refer_to_what_exists() {
        assert_eq!(TYPES.iter().map(|t| t.percent).sum::<u64>(), 100);
        for workflow in &WORKFLOWS {
            assert!(workflow.targets.iter().all(|t| usize::from(t.field) < FIELDS));
            assert!(workflow.roles.iter().all(|role| REVIEWERS.iter().any(|r| r.role == *role)));
        }
        assert!(TYPES.iter().flat_map(|t| t.values).all(|v| v[0].is_empty() && v.len() < 200));
        assert_eq!(version_name(LEAD_ROUTING, 1, 6), "routing-7");
        assert!(roles_toml().contains("cfo = [\"cfo\"]\n"));
    }
}
