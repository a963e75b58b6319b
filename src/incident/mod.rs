//! Incidents: what a policy calls one, what bad actions have reached, how to recover from it, and how far that is.
//!
//! In: an engine over the evidence, the policy in force, a selector, what persons state. Out: the rules that fire and
//! their drafts; a scope, frozen with the point that it was made from; candidate causes, and what a guardrail would
//! have stopped; a recovery plan in the forms that others take; the register with its steps, clocks and deadlines.
//! Invariant: the engine plans and proves; a person decides, and the change path of the business system executes.

pub mod account;
pub mod asked;
pub mod brief;
pub mod causes;
pub mod clocks;
mod comparison;
pub mod failed_controls;
pub mod guardrail;
pub mod plan;
pub mod reconcile;
pub mod record;
pub mod register;
mod rules;
mod scope;
pub mod steps;
mod why;

pub use rules::{Reading, check_rules, open_drafts, readings};
pub use scope::{Scoped, scope};
pub use why::why;
