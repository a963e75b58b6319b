//! How far a review is, for one of its reviewers, and what is needed to finish.
//!
//! In: the account of a review. Out: markup. Invariant: it moves by the number of marks alone where known errors are
//! planted among the items: a count that stands still after a mark would tell that the item was planted. It never says
//! how anybody marked an item.

use super::super::layout::{counted, escape};
use crate::error::Result;
use crate::report::format;
use crate::review::account::Account;
use crate::review::decide::Decision;
use crate::review::marks::Standing;

/// A bar, and what it says in words.
pub(super) fn progress(account: &Account, reviewer: &str) -> Result<String> {
    let own = counted(own(account, reviewer), "item marked by you", "items marked by you");
    let (done, of, words) = match account.review.plan().planted.is_some() {
        true => blind(account)?,
        false => open(account),
    };
    Ok(format!(
        "<p class=\"progress\"><progress max=\"{}\" value=\"{done}\" aria-label=\"Progress of the review\">\
         </progress>\n\
         <span>{} {own}.</span></p>\n",
        of.max(1),
        escape(&words)
    ))
}

/// Items that `reviewer` has said something of.
fn own(account: &Account, reviewer: &str) -> u64 {
    let verdicts = account.sample.iter().flat_map(|sample| sample.verdicts.values());
    verdicts.filter(|verdict| verdict.reviewers.iter().any(|name| name == reviewer)).count() as u64
}

fn open(account: &Account) -> (u64, u64, String) {
    let status = &account.status;
    let reviewed = counted(status.n, "item counts", "items count");
    match (status.decision, status.next) {
        (Decision::Enable, _) => {
            (status.n, status.n, format!("{reviewed}; the claim is shown, and its owner may sign."))
        }
        (_, Some(next)) => {
            let words = format!("{reviewed}; {} more, all correct, would show the claim.", format::count(next));
            (status.n, status.n + next, words)
        }
        (_, None) => (status.n, status.n, format!("{reviewed}; no further mark can show the claim within the plan.")),
    }
}

/// What is marked of the items that it takes at least, planted ones among them.
fn blind(account: &Account) -> Result<(u64, u64, String)> {
    let planted = account.planted.len() as u64;
    let least = account.least()? + planted;
    let turns = account.turns()?;
    let verdicts = account.sample.as_ref().map(|sample| &sample.verdicts);
    let is_marked = |id: &&&str| {
        let verdict = verdicts.and_then(|verdicts| verdicts.get(**id));
        verdict.is_some_and(|verdict| verdict.standing != Standing::Open)
    };
    let first = turns.iter().take(usize::try_from(least).unwrap_or(usize::MAX));
    let done = first.filter(is_marked).count() as u64;
    let words = format!("{} of the items that it takes at least are marked.", format::of(done, least));
    Ok((done, least, words))
}
