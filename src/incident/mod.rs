//! Incidents: what a policy calls one, what bad actions have reached, and how to recover from it.
//!
//! In: an engine over the evidence, the policy in force, a selector. Out: the rules that fire and their drafts; a
//! scope, frozen with the point that it was made from; a recovery plan in the forms that others take. Invariant: the
//! engine plans and proves; a person decides, and the change path of the business system executes.

pub mod plan;
mod rules;
mod scope;

pub use rules::{Reading, check_rules, open_drafts, readings};
pub use scope::{Scoped, scope};
