//! How wrong values spread: the rules of taint, on numbers.
//!
//! In: reads, bad writes and clean writes in the order of time. Out: which cells are tainted by which write, which
//! actions are bad and why. Invariant: nothing here depends on a value, only on who wrote and read. It must not know
//! where the numbers come from.

use hashbrown::HashMap;

use super::names::{NONE, Records};
use super::view::inputs;
use crate::event::Rows;

/// A write that left a wrong value; the least one is the nearest to the cause, then the earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Steps from a direct action.
    pub depth: u32,
    /// The write.
    pub seq: i64,
    /// Whose write it is.
    pub action: u32,
}

/// Why an action is derived.
#[derive(Debug, Clone, Copy)]
pub struct Cause {
    /// The write whose value it read.
    pub origin: Origin,
    /// The event that read it.
    pub read_seq: i64,
}

/// Tainted fields of a record up to which each of them is looked at.
const FEW_FIELDS: usize = 16;

/// The tainted fields of a record, each with the write that tainted it last.
enum Tainted {
    Few(Vec<(u32, Origin)>),
    Many(Box<HashMap<u32, Origin>>),
}

impl Default for Tainted {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Tainted {
    fn len(&self) -> usize {
        match self {
            Self::Few(fields) => fields.len(),
            Self::Many(fields) => fields.len(),
        }
    }

    fn least(&self, field: u32) -> Option<Origin> {
        match self {
            Self::Few(fields) => {
                let is_read = |of: u32| field == NONE || of == field || of == NONE;
                fields.iter().filter(|(of, _)| is_read(*of)).map(|(_, origin)| *origin).min()
            }
            Self::Many(fields) if field == NONE => fields.values().copied().min(),
            Self::Many(fields) => [field, NONE].iter().filter_map(|of| fields.get(of).copied()).min(),
        }
    }

    fn set(&mut self, field: u32, origin: Origin) {
        match self {
            Self::Few(fields) => match fields.iter_mut().find(|(of, _)| *of == field) {
                Some((_, earlier)) => *earlier = origin,
                None => {
                    fields.push((field, origin));
                    if fields.len() > FEW_FIELDS {
                        let fields: HashMap<u32, Origin> = fields.drain(..).collect();
                        *self = Self::Many(Box::new(fields));
                    }
                }
            },
            Self::Many(fields) => {
                fields.insert(field, origin);
            }
        }
    }

    fn clear(&mut self, field: u32) {
        if field == NONE {
            *self = Self::default();
            return;
        }
        match self {
            Self::Few(fields) => fields.retain(|(of, _)| *of != field),
            Self::Many(fields) => {
                fields.remove(&field);
            }
        }
    }
}

/// Bad actions and tainted cells at one moment.
pub struct Spread {
    limit: u32,
    /// By action; [`NONE`] where it is not bad.
    depths: Vec<u32>,
    causes: HashMap<u32, Cause>,
    /// By record.
    taints: Vec<Tainted>,
    tainted_cells: usize,
}

impl Spread {
    /// A spread that stops after `limit` steps, if any.
    pub fn new(limit: Option<u32>) -> Self {
        Self {
            limit: limit.unwrap_or(NONE),
            depths: Vec::new(),
            causes: HashMap::new(),
            taints: Vec::new(),
            tainted_cells: 0,
        }
    }

    /// Steps of a bad action from a direct one; none for an action that is not bad.
    pub fn depth(&self, action: u32) -> Option<u32> {
        self.depths.get(action as usize).copied().filter(|depth| *depth != NONE)
    }

    /// Why an action is derived; none for a direct one.
    pub fn cause(&self, action: u32) -> Option<&Cause> {
        self.causes.get(&action)
    }

    /// Makes an action a direct one.
    pub fn add_direct(&mut self, action: u32) {
        self.set_depth(action, 0);
    }

    /// Whether reading what `origin` left makes an action bad.
    pub fn reaches(&self, origin: &Origin) -> bool {
        origin.depth < self.limit
    }

    /// Notes that an event of `action` read what `origin` left; the first such event decides.
    pub fn read(&mut self, action: u32, cause: Cause) {
        if self.depth(action).is_none() && self.reaches(&cause.origin) {
            self.set_depth(action, cause.origin.depth + 1);
            self.causes.insert(action, cause);
        }
    }

    fn set_depth(&mut self, action: u32, depth: u32) {
        let at = action as usize;
        if self.depths.len() <= at {
            self.depths.resize(at + 1, NONE);
        }
        self.depths[at] = depth;
    }

    /// Whether any cell is tainted.
    pub fn has_taint(&self) -> bool {
        self.tainted_cells > 0
    }

    /// The write nearest to the cause among those that taint one of the inputs of `row`.
    pub fn least_input(&self, records: &Records, rows: &Rows<'_>, row: usize) -> Option<Origin> {
        if !self.has_taint() {
            return None;
        }
        let origins = inputs(rows, row).filter_map(|input| {
            let record = records.find_named(&input)?;
            self.least(record, records.find_field(&input))
        });
        origins.min()
    }

    /// The least write that taints a cell: its own, or that of its whole record; without a field, of any cell.
    pub fn least(&self, record: u32, field: u32) -> Option<Origin> {
        self.taints.get(record as usize)?.least(field)
    }

    /// A bad write taints its cell; a later one replaces an earlier one.
    pub fn taint(&mut self, record: u32, field: u32, origin: Origin) {
        let at = record as usize;
        if self.taints.len() <= at {
            self.taints.resize_with(at + 1, Tainted::default);
        }
        let tainted = &mut self.taints[at];
        let before = tainted.len();
        tainted.set(field, origin);
        self.tainted_cells += tainted.len() - before;
    }

    /// A clean write clears its cell; without a field, every cell of the record.
    pub fn clear(&mut self, record: u32, field: u32) {
        let Some(tainted) = self.taints.get_mut(record as usize) else { return };
        let before = tainted.len();
        tainted.clear(field);
        self.tainted_cells -= before - tainted.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(depth: u32, seq: i64) -> Origin {
        Origin { depth, seq, action: seq as u32 }
    }

    #[test]
    fn the_whole_record_taints_each_field_and_any_field_the_whole() {
        let mut spread = Spread::new(None);
        spread.taint(0, 7, origin(2, 5));
        assert_eq!(spread.least(0, NONE), Some(origin(2, 5)));
        assert_eq!(spread.least(0, 8), None);
        spread.taint(0, NONE, origin(1, 6));
        assert_eq!(spread.least(0, 8), Some(origin(1, 6)));
        assert_eq!(spread.least(0, 7), Some(origin(1, 6)), "nearer to the cause");
        spread.clear(0, 7);
        assert_eq!(spread.least(0, 7), Some(origin(1, 6)), "a field is cleared, the whole is not");
        spread.clear(0, NONE);
        assert_eq!((spread.least(0, NONE), spread.tainted_cells), (None, 0));
    }

    #[test]
    fn of_many_fields_each_is_told_apart() {
        let mut spread = Spread::new(None);
        let many = FEW_FIELDS as u32 * 3;
        for field in (0..many).chain(0..many) {
            spread.taint(0, field, origin(2, 100 + i64::from(field)));
        }
        assert_eq!((spread.tainted_cells, spread.least(0, many)), (many as usize, None));
        assert_eq!((spread.least(0, 9), spread.least(0, NONE)), (Some(origin(2, 109)), Some(origin(2, 100))));
        spread.taint(0, NONE, origin(1, 500));
        spread.clear(0, 9);
        assert_eq!((spread.least(0, 9), spread.tainted_cells), (Some(origin(1, 500)), many as usize));
        spread.clear(0, NONE);
        assert_eq!((spread.least(0, 7), spread.least(0, NONE), spread.has_taint()), (None, None, false));
    }

    #[test]
    fn the_spread_stops_after_the_steps_asked_for() {
        let mut spread = Spread::new(Some(1));
        spread.read(4, Cause { origin: origin(1, 2), read_seq: 3 });
        assert_eq!(spread.depth(4), None, "it would be the second step");
        spread.read(4, Cause { origin: origin(0, 9), read_seq: 10 });
        spread.read(4, Cause { origin: origin(0, 1), read_seq: 11 });
        assert_eq!((spread.depth(4), spread.cause(4).map(|c| c.read_seq)), (Some(1), Some(10)));
    }
}
