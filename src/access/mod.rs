//! Access: who may do what, and the tokens that say who somebody is.
//!
//! In: roles, tokens as text, the objects that keep their hashes. Out: grants, and the answer whether a token is one of
//! them. Invariants: a secret is shown once and never stored; creating and revoking a token is itself evidence. It
//! knows nothing of HTTP.

pub mod role;
pub mod token;

pub use role::{May, Role};
pub use token::Grant;
