//! `probity review draw`, `mark` and `verify`: the items, what reviewers say of them, and all of it once more.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{Global, Marked, ReviewDrawArgs, ReviewMarkArgs, ReviewVerifyArgs};
use super::incident::short;
use super::input::Input;
use super::output::{Output, thousands};
use super::review::{account, pair};
use super::{Answer, open, person, session};
use crate::error::{Error, Result};
use crate::query::objects::{Row, text};
use crate::review::account::Account;
use crate::review::checks::{Check, Outcome};
use crate::review::desk::Desk;
use crate::review::ground::Ground;
use crate::review::marks::{Mark, Word};
use crate::review::packed::Packed;
use crate::review::seed::Entropy;
use crate::review::sheet::{self, Marking};
use crate::review::{answers, checkpoint, document, register, verify};
use crate::store::Store;

/// Bytes of a file of marks; a sheet of a whole census is smaller.
const SHEET_BYTES: u64 = 256 * 1024 * 1024;

/// Draws the sample, where that was not done yet, and prints the items that wait for a mark.
///
/// # Errors
/// When nothing signed covers the plan, a promise is not kept, the frame has changed, or the store fails.
pub async fn draw(global: &Global, args: &ReviewDrawArgs, out: &Output) -> Result<Answer> {
    let revealed = args.revealed.iter().map(|text| entropy(text)).collect::<Result<Vec<Entropy>>>()?;
    let by = person(args.by.as_deref())?;
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let found = account(&store, &engine, &args.review).await?;
    let account = register::draw(&store, found, &revealed, &by).await?;
    tell(&account, out);
    if let Some(file) = &args.checkpoint {
        write_checkpoint(&store, &account, file, out).await?;
    }
    let desk = Desk::of(&engine, &account, args.reviewer.as_deref(), args.limit).await?;
    desk.items.iter().zip(1..).try_for_each(|(row, number)| show(number, row, out))?;
    if desk.waiting > desk.items.len() {
        let more = thousands((desk.waiting - desk.items.len()) as u64);
        out.say(&format!("and {more} more; --limit {} prints all", desk.waiting));
    }
    out.json(&desk.to_json(&account))?;
    Ok(Answer::Done)
}

fn entropy(text: &str) -> Result<Entropy> {
    let (kind, hex) = pair("--reveal", text)?;
    Ok(Entropy { kind, hex })
}

fn tell(account: &Account, out: &Output) {
    let Some(drawn) = &account.review.drawn else { return };
    let what = &drawn.what;
    out.say(&format!(
        "event {} draws {} items from the checkpoint of {} events; seed {}",
        drawn.seq,
        thousands(what.items),
        thousands(what.seed.size),
        what.seed_hash
    ));
    out.say(&format!("class {:?}: {}", what.class, what.class.means()));
    let next = account.status.next.map_or_else(|| "no number of".to_owned(), thousands);
    out.say(&format!("{}; {next} correct marks give ENABLE", account.status.decision.name()));
}

/// Writes the signed checkpoint that the seed is made from.
async fn write_checkpoint(store: &Store, account: &Account, file: &Path, out: &Output) -> Result<()> {
    let missing = || Error::damaged("the checkpoint that the seed was made from is missing");
    let sealed = checkpoint::first_after(store, account.review.planned.seq).await?.ok_or_else(missing)?;
    let note = store.cosigned(&sealed).await?;
    std::fs::write(file, note)
        .map_err(|e| Error::unavailable(format!("cannot write {}", file.display())).because(e))?;
    out.say(&format!("wrote {}, the checkpoint of {} events", file.display(), sealed.checkpoint.size));
    Ok(())
}

fn show(number: usize, row: &Row, out: &Output) -> Result<()> {
    let part = |name: &str| short(text(row, name));
    let value = |name: &str| row.get(name).and_then(Value::as_str).map_or_else(|| "?".to_owned(), short);
    let record = ["system", "record_type", "record_id"].map(part).join("/");
    out.result(&format!("{number}. {}  {record} {}", text(row, "item"), part("field")))?;
    out.result(&format!("   {} `{}` → `{}`", part("operation"), value("old_value"), value("new_value")))?;
    let confidence = row.get("confidence").filter(|value| !value.is_null()).map(Value::to_string);
    let amount = [part("amount"), part("currency")].join(" ");
    let facts = [
        ("why", part("reason_code")),
        ("issue", part("issue_type")),
        ("confidence", confidence.unwrap_or_default()),
        ("amount", amount.trim().to_owned()),
        ("rule", part("rule_version")),
        ("action", part("action_id")),
    ];
    let facts = facts.into_iter().filter(|(_, fact)| !fact.is_empty());
    let facts: Vec<String> = facts.map(|(name, fact)| format!("{name} {fact}")).collect();
    out.result(&format!("   {}", facts.join(", ")))?;
    let inputs = row.get("inputs").and_then(Value::as_array).into_iter().flatten().filter_map(input);
    let inputs: Vec<String> = inputs.collect();
    if inputs.is_empty() { Ok(()) } else { out.result(&format!("   read {}", inputs.join(", "))) }
}

/// What was read, in one word.
fn input(input: &Value) -> Option<String> {
    let parts = ["system", "record_type", "record_id", "field"];
    let parts: Vec<&str> = parts.into_iter().filter_map(|part| input.get(part).and_then(Value::as_str)).collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Marks items.
///
/// # Errors
/// When a mark is of no item or by nobody whom the plan names, the review is over, or the store fails.
pub async fn mark(global: &Global, args: &ReviewMarkArgs, out: &Output) -> Result<Answer> {
    let by = person(args.by.as_deref())?;
    let markings = markings(args)?;
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let account = account(&store, &engine, &args.review).await?;
    let seqs = register::mark(&store, &account, &markings, &by).await?;
    out.say(&match seqs.as_slice() {
        [one] => format!("event {one} marks it"),
        _ => format!("{} marks are in the ledger", thousands(seqs.len() as u64)),
    });
    out.json(&json!({"review_id": args.review, "marks": seqs.len(), "seqs": seqs}))?;
    Ok(Answer::Done)
}

fn markings(args: &ReviewMarkArgs) -> Result<Vec<Marking>> {
    if let Some(file) = &args.file {
        let input = Input::open(file)?;
        let cannot = |e: std::io::Error| Error::unavailable(format!("cannot read {}", input.name)).because(e);
        let mut text = String::new();
        let read = input.reader.take(SHEET_BYTES).read_to_string(&mut text).map_err(cannot)?;
        if read as u64 == SHEET_BYTES {
            return Err(Error::limit(format!("the sheet has {SHEET_BYTES} bytes or more; divide it")));
        }
        return sheet::read(&text);
    }
    let (Some(item), Some(mark)) = (&args.item, args.mark) else {
        return Err(Error::invalid("a mark needs an item and what is said of it: --item and --as"));
    };
    let word = match mark {
        Marked::Correct => Word::Correct,
        Marked::Incorrect => Word::Incorrect,
        Marked::Escalate => Word::Escalate,
    };
    let mark = Mark { item: item.clone(), mark: word, wrong_amount: args.wrong_amount.clone() };
    let opened_at = args.opened.as_deref().map(sheet::opened_at).transpose()?;
    Ok(vec![Marking { mark, reviewer: None, opened_at, comment: args.comment.clone() }])
}

/// Computes all that a review states again.
///
/// # Errors
/// When there is no such review, the pack does not verify, something cannot be read, or an as-of point is named.
pub async fn again(global: &Global, args: &ReviewVerifyArgs, out: &Output) -> Result<Answer> {
    if global.as_of.is_some() {
        return Err(Error::invalid(
            "a review is verified by all that there is, of which --as-of leaves some out; `review status` takes it",
        ));
    }
    let (account, checks) = match (&args.pack, &args.vkey) {
        (Some(pack), Some(key)) => {
            let packed = Packed::read(pack, OsStr::new(key), args.trust.as_deref())?;
            out.say(&packed.sentence);
            verify::verify(Ground::Pack(&packed), &args.review).await?
        }
        _ => {
            let store = open(global).await?;
            verify::verify(Ground::Evidence(&store), &args.review).await?
        }
    };
    checks.iter().try_for_each(|check| show_check(check, out))?;
    if let Some(file) = &args.export {
        let text = format!("{}\n", document::export(&account)?);
        std::fs::write(file, text)
            .map_err(|e| Error::unavailable(format!("cannot write {}", file.display())).because(e))?;
        out.say(&format!("wrote {}", file.display()));
    }
    let is_ok = answers::is_as_stated(&checks);
    out.say(if is_ok { "all that could be checked is as stated" } else { "not as stated; do not rely on this review" });
    out.json(&answers::verified(&account, &checks)?)?;
    Ok(if is_ok { Answer::Done } else { Answer::NotAll })
}

fn show_check(check: &Check, out: &Output) -> Result<()> {
    let mark = match check.outcome {
        Outcome::Passed => "✓",
        Outcome::Failed => "✗",
        Outcome::NotChecked => "?",
    };
    out.result(&format!("{mark} {:13} {}", check.check, check.words))?;
    check.findings.iter().try_for_each(|finding| out.result(&format!("    {finding}")))
}
