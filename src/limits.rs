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

/// Data files of which is remembered whether they hold policies; of most there is nothing to remember but that.
pub const POLICY_FILES: usize = 32 * 1024;
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
/// Seconds that a refusal of a stranger's query waits for its threads to end, so that what they held is free when it is told.
pub const QUERY_END_SECONDS: u64 = 5;
/// Bytes of memory of all queries together; sorts, joins and aggregates spill past it.
pub const QUERY_MEMORY_BYTES: usize = 1_280 * 1024 * 1024;
/// Events whose actions are judged at a time: joins over more of them would not fit into that memory.
pub const PIECE_EVENTS: u64 = 1_000_000;
/// Bytes of a kept view up to which it stays in memory; a larger one lies in a temporary file.
pub const KEPT_VIEW_BYTES: usize = 32 * 1024 * 1024;
/// Part of the memory of all queries that may be in use where a kept view stays in it: the rest is for joins and sorts.
pub const KEPT_MEMORY_PART: usize = 4;
/// Bytes of temporary files that spilling may write.
pub const QUERY_SPILL_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Events that a look-up by key gives at most, of one record or one action; more of them are read with SQL, in parts.
pub const LOOKED_UP_EVENTS: usize = 20_000;
/// Reads of a record that its history lists, the newest: who looks often must not make it too long to look at.
pub const LOOKED_UP_READS: usize = 1_000;

/// Actions that the selector of an incident may pick: they and what they touched are held in memory.
pub const INCIDENT_ACTIONS: usize = 2_000_000;
/// Bytes of touches of data files that are kept in memory between passes; what is past it is read again.
pub const TOUCHES_MEMORY_BYTES: usize = 128 * 1024 * 1024;
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

/// Bytes of a request that brings events, packed and unpacked alike; more are sent in several requests.
pub const EVENTS_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that an export of spans becomes when each stands alone with its resource; one that becomes more is sent in parts.
pub const SPANS_BYTES: usize = 64 * 1024 * 1024;
/// Seconds that a request waits for a place where only a few may work at once, before it is told to come again.
pub const PLACE_SECONDS: u64 = 10;

/// Bytes of a request to a witness: a note of 1 MB, a proof of 63 hashes.
pub const WITNESS_REQUEST_BYTES: usize = 1_004_096;
/// Bytes of a witness's answer: a few signature lines, or words.
pub const WITNESS_ANSWER_BYTES: usize = 64 * 1024;
/// Seconds in which a witness must be reached,
pub const WITNESS_CONNECT_SECONDS: u64 = 5;
/// and have answered.
pub const WITNESS_SECONDS: u64 = 30;

// The server.

/// Connections at once; more wait in the queue of the system.
pub const CONNECTIONS: usize = 1_024;
/// Seconds in which a TLS handshake must be done.
pub const HANDSHAKE_SECONDS: u64 = 10;
/// Seconds in which a connection must bring a whole head of a request, and after which an idle one is closed.
pub const IDLE_SECONDS: u64 = 60;
/// Seconds after which a peer that takes nothing of an answer, or sends nothing of a body, is left.
pub const STALL_SECONDS: u64 = 30;
/// Seconds until an answer must have begun: a query's, and what is around it.
pub const REQUEST_SECONDS: u64 = QUERY_SECONDS + 30;
/// Seconds that requests have to end in when the server is asked to stop.
pub const SHUTDOWN_SECONDS: u64 = 20;
/// Bytes of the body of a request, unless its route says otherwise: one batch of events.
pub const SERVER_BODY_BYTES: usize = BATCH_BYTES;
/// Bytes of the bodies that are being read or worked on at once; who comes with more is told to come again.
pub const SERVER_BODIES_BYTES: usize = 128 * 1024 * 1024;
/// Bytes of the refusal of a framework that are repeated in a problem document.
pub const REFUSAL_BYTES: usize = 4 * 1024;

/// Requests that wait to be written for one tenant; more are told to come again.
pub const APPEND_QUEUE_ENTRIES: usize = 4_096;
/// Bytes of events that wait to be written for one tenant.
pub const APPEND_QUEUE_BYTES: usize = 96 * 1024 * 1024;
/// Bytes of events that one put makes durable: larger groups answer later, not faster.
pub const APPEND_GROUP_BYTES: usize = BATCH_BYTES;
/// Bytes of acknowledged events in memory that make a server fold: more of them would be felt when they are folded.
pub const SERVER_FOLD_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of acknowledged events that are not folded yet, past which a server tells who brings more to come again.
pub const SERVER_UNFOLDED_BYTES: usize = 256 * 1024 * 1024;
/// Seconds after which the counts of what was received over HTTP are stated.
pub const COUNTS_SECONDS: u64 = 5;
/// Seconds between two looks whether a fold is due.
pub const UPKEEP_SECONDS: u64 = 5;
/// Seconds between two vacuums of a running server.
pub const VACUUM_SECONDS: u64 = 3_600;

/// Seconds for which a session counts as now on a quiet ledger: ages and deadlines are told by its clock.
pub const SERVER_SESSION_SECONDS: i64 = 60;
/// Sessions as of earlier points that are kept for one tenant.
pub const SERVER_PAST_SESSIONS: usize = 4;
/// Bytes of the note that a read leaves in the evidence: the longest SQL with every character escaped, and parameters.
pub const READ_NOTE_BYTES: usize = 8 * SQL_BYTES;

/// Bytes of finished pages kept for one tenant.
pub const PAGE_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Pages of one tenant that are worked on at once; each uses all threads for queries.
pub const PAGE_WORKS: usize = 2;
/// Rows of an answer that a page shows; the links beside it lead to all of them.
pub const SHOWN_ROWS: usize = 1_000;

/// Bytes of the name of a tenant.
pub const TENANT_BYTES: usize = 64;
/// Bytes of the name in a grant of access.
pub const GRANT_NAME_BYTES: usize = 128;
/// Bytes of a grant as it lies in the store; a larger object was not written by this program.
pub const GRANT_OBJECT_BYTES: u64 = 16 * 1024;
/// Seconds for which a grant is remembered: a revocation holds after them at the latest.
pub const GRANT_SECONDS: u64 = 5;
/// Grants remembered at once.
pub const GRANTS_KNOWN: usize = 4_096;
/// Hours after which a session of the pages ends.
pub const SESSION_HOURS: i64 = 12;
/// Sessions of the pages that one token has open at once; the oldest one ends for the next.
pub const SESSIONS_A_TOKEN: usize = 32;
/// Sessions of the pages that are open at once.
pub const SESSIONS_KEPT: usize = 10_000;
/// Attempts to log in that one peer has
pub const LOGIN_ATTEMPTS: u32 = 10;
/// in so many seconds.
pub const LOGIN_WINDOW_SECONDS: i64 = 60;
/// Peers whose attempts are counted at once.
pub const LOGIN_PEERS: usize = 10_000;
