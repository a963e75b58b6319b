//! Cells and actions for tests, of which only what a test is about has to be told.

use super::{Action, Cell, Flags, Record, State};

/// The cell of the whole `record`: no bad write, nothing known of its values.
pub(crate) fn cell(record: Record, state: State) -> Cell {
    Cell {
        record,
        field: None,
        state,
        depth: 0,
        parent_seq: None,
        first_seq: 0,
        first_action: 0,
        first_bad_seq: None,
        first_bad_at: None,
        last_bad_seq: None,
        last_bad_at: None,
        last_action: None,
        old_value: None,
        bad_value: None,
        current_value: None,
        current_seq: None,
        current_actor: None,
        flags: Flags::default(),
    }
}

/// The same with one bad write, of this `seq` and instant.
pub(crate) fn written(record: Record, state: State, (seq, at): (i64, i64)) -> Cell {
    let (first_bad_seq, first_bad_at, last_bad_seq, last_bad_at) = (Some(seq), Some(at), Some(seq), Some(at));
    Cell { first_seq: seq, first_bad_seq, first_bad_at, last_bad_seq, last_bad_at, ..cell(record, state) }
}

/// A direct action with one bad write.
pub(crate) fn action(id: &str) -> Action {
    Action {
        action_id: id.to_owned(),
        depth: 0,
        parent: None,
        bad_writes: 1,
        operation: None,
        permission_level: None,
        reversibility: None,
        is_external: false,
    }
}

/// A record by its parts.
pub(crate) fn record(system: &str, record_type: &str, record_id: &str) -> Record {
    let [system, record_type, record_id] = [system, record_type, record_id].map(str::to_owned);
    Record { system, record_type, record_id }
}
