//! Every bound of the program, with its unit and its reason, in one place.
//!
//! Invariant: nothing that comes from outside grows past a bound named here without a clear answer.

/// Bytes of one input record without its line end; a longer one is refused, so that no line fills the memory.
pub const RECORD_BYTES: usize = 64 * 1024;
/// Bytes of a refused record kept in the quarantine; enough to recognise it, and the hash covers the rest.
pub const QUARANTINE_RAW_BYTES: usize = 64 * 1024;
/// Days after which a quarantine entry expires.
pub const QUARANTINE_DAYS: i64 = 90;
/// Bytes of `event_id` and `source`: they are keys, held in memory while duplicates are sought.
pub const ID_BYTES: usize = 256;
/// Bytes of a policy document: it is the value of one event, and a person has to read it.
pub const POLICY_BYTES: usize = 256 * 1024;
/// Nesting of JSON values in a record; deeper input is refused before it can exhaust a stack.
pub const JSON_DEPTH: usize = 64;
/// Hours that an event may lie ahead of the clock: clocks of sources differ, time travel does not happen.
pub const FUTURE_HOURS: i64 = 24;

/// Input bytes gathered into one journal object while a file is ingested; bounds the memory of a batch.
pub const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Events of one journal object; the same bound for tiny events.
pub const BATCH_EVENTS: usize = 32 * 1024;
/// Bytes of one journal object accepted when reading; a larger one was not written by this program.
pub const JOURNAL_OBJECT_BYTES: u64 = 512 * 1024 * 1024;

/// A fold is due when the journal holds this many bytes,
pub const FOLD_BYTES: u64 = 64 * 1024 * 1024;
/// or this many objects (a listing stays one page),
pub const FOLD_OBJECTS: usize = 1_024;
/// or an object this old, in seconds: readers pay for every unfolded object.
pub const FOLD_AGE_SECONDS: i64 = 30;
/// Bytes of events in memory that one step of a fold turns into Parquet; the rest follows at once.
pub const FOLD_STEP_BYTES: usize = 128 * 1024 * 1024;

/// Bytes of a compacted file: large enough to scan at full speed, small enough to prune and to rewrite.
pub const COMPACTED_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// Files that one compaction merges at most; bounds its memory.
pub const COMPACTION_FILES: usize = 32;
/// Small files of one month that make an ingest compact it.
pub const SMALL_FILES_PER_MONTH: usize = 16;
/// Rows of a Parquet row group: the unit of pruning by statistics and bloom filter.
pub const ROW_GROUP_ROWS: usize = 256 * 1024;
/// Rows of a Parquet page: the unit of late materialisation.
pub const PAGE_ROWS: usize = 8 * 1024;
/// Commits between two Delta checkpoints, so that opening a table replays few log files.
pub const COMMITS_PER_CHECKPOINT: u64 = 50;
/// Seconds that a file replaced by compaction stays for queries that still read it.
pub const VACUUM_GRACE_SECONDS: i64 = 600;

/// Events that the evidence may run ahead of its projection of actions before it is brought up again; a reader
/// catches up with so many in a fraction of a second.
pub const PROJECTION_SLACK_EVENTS: i64 = 32 * 1024;
/// Events that are folded in memory where no projection is; more go through temporary files.
pub const PROJECTION_MEMORY_EVENTS: i64 = 256 * 1024;
/// Segments of a projection beyond which it is made anew: readers open every one.
pub const PROJECTION_SEGMENTS: usize = 256;

/// Seconds after which a file that no commit ever named is taken for the rest of a killed process.
pub const ORPHAN_SECONDS: i64 = 24 * 3600;

/// Distinct ids held in memory while duplicates are sought; months are dropped and reloaded past it.
pub const KNOWN_IDS: usize = 24 * 1024 * 1024;
/// Attempts to append one batch against other writers, or to read a prefix that others are folding.
pub const APPEND_ATTEMPTS: usize = 200;

/// Bytes of SQL text accepted; no honest query is longer.
pub const SQL_BYTES: usize = 64 * 1024;
/// Operators in one SQL text: a flat chain of some 2,000 overflows the planner's stack.
pub const SQL_OPERATORS: usize = 500;
/// Nesting of brackets in SQL text.
pub const SQL_DEPTH: usize = 40;
/// Rows of an ad-hoc query's result, unless the caller asks for another bound; truncation is stated.
pub const QUERY_ROWS: usize = 1_000_000;
/// Seconds that a query may run.
pub const QUERY_SECONDS: u64 = 300;
/// Bytes of memory of all queries together; sorts, joins and aggregates spill past it.
pub const QUERY_MEMORY_BYTES: usize = 1_280 * 1024 * 1024;
/// Events whose actions are judged at a time: joins over more of them would not fit into that memory.
pub const PIECE_EVENTS: u64 = 1_000_000;
/// Bytes of temporary files that spilling may write.
pub const QUERY_SPILL_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// Actions that the selector of an incident may pick: they and what they touched are held in memory.
pub const INCIDENT_ACTIONS: usize = 2_000_000;
/// Writes that a reconciliation holds in memory of either side, some 60 bytes each beside their texts.
pub const RECONCILED_WRITES: usize = 8_000_000;
/// Bytes of the different names and values of both sides of a reconciliation.
pub const RECONCILED_TEXT_BYTES: usize = 1024 * 1024 * 1024;
/// Findings of one kind that the JSON of a reconciliation lists; it says so, and CSV has all.
pub const RECONCILED_LISTED: usize = 100_000;
/// Hours that the two instants of one write may lie apart at most: a day on, it is another write.
pub const RECONCILED_TOLERANCE_HOURS: i64 = 24;

/// Items of the frame of a sample review, some 120 bytes each; more are reviewed in parts, one workflow or period each.
pub const REVIEW_ITEMS: usize = 2_000_000;

/// Entries of one `evidence.received` event; more sources and days are spread over several events.
pub const RECEIVED_ENTRIES: usize = 400;
/// Reasons for refusal repeated in the result of an ingest; the quarantine holds all of them.
pub const FIRST_REASONS: usize = 20;

/// Bytes of a request to a witness: a note of 1 MB, a proof of 63 hashes.
pub const WITNESS_REQUEST_BYTES: usize = 1_004_096;
/// Bytes of a witness's answer: a few signature lines, or words.
pub const WITNESS_ANSWER_BYTES: usize = 64 * 1024;
/// Seconds in which a witness must be reached,
pub const WITNESS_CONNECT_SECONDS: u64 = 5;
/// and have answered.
pub const WITNESS_SECONDS: u64 = 30;
