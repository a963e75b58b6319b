//! Handovers: how a log changes its key while its name, and whatever was proven before, stays.
//!
//! In: notes that both the old and the new key signed; the one key that somebody trusts. Out: the keys that it vouches
//! for, each with the sizes of the tree that it may have signed. Invariants: nobody hands over for another, because
//! the old key signs; nobody is made to answer for a key that is not his, because the new one signs too; the handovers
//! of a log are one chain, without fork or return. It must not decide whether the trusted key is the right one.
//!
//! A stolen old key can still hand over to its thief for whoever never heard of the true handover: an auditor who
//! holds the newest key, or a checkpoint that was signed after the handover, is not deceived by it.

use super::checkpoint::{Checkpoint, decimal};
use super::note::{Kind, Note, Signer, Verifier};
use crate::error::{Error, Result};

/// The first line of every handover.
const HEADER: &str = "probity-handover/1";
/// Handovers of a log at most: one a week for twenty years.
pub const HANDOVERS: usize = 1_000;

/// That a log's old key hands over to its new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// The log's name, and that of both keys; it never changes.
    pub origin: String,
    /// Size of the newest checkpoint then: the old key signs no larger one, the new one no smaller one.
    pub size: u64,
    /// The key that signed until then.
    pub old: Verifier,
    /// The key that signs from then on.
    pub new: Verifier,
}

impl Handover {
    /// The handover from one signer of a log to the next at a checkpoint of `size` events.
    ///
    /// # Errors
    ///
    /// `Invalid` when the keys are of two names, or the same.
    pub fn between(old: &Signer, new: &Signer, size: u64) -> Result<Self> {
        let [from, to] = [old, new].map(|signer| signer.verifier(Kind::Ed25519));
        if from == to || from.name() != to.name() {
            return Err(Error::invalid(format!(
                "the key of `{}` cannot hand over to that key of `{}`; the new key has the same name and is another one",
                from.name(),
                to.name()
            )));
        }
        Ok(Self { origin: from.name().to_owned(), size, old: from, new: to })
    }

    /// Reads header, origin, size, old and new key, one line each, every line ended.
    ///
    /// # Errors
    ///
    /// `Damaged` for another form: other lines, a size with a sign or leading zeros, a key in another spelling, of
    /// another name or kind, or the same key twice.
    pub fn parse(text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.split('\n').collect();
        let [HEADER, origin, size, old, new, ""] = lines[..] else {
            return Err(Error::damaged(
                "handover is not made of the five lines `probity-handover/1`, origin, size, old key and new key",
            ));
        };
        let size =
            decimal(size).ok_or_else(|| Error::damaged("handover has a size that is no decimal number of 64 bits"))?;
        let (old, new) = (read_key(origin, old)?, read_key(origin, new)?);
        if old == new {
            return Err(Error::damaged("handover names one key as the old and the new one"));
        }
        Ok(Self { origin: origin.to_owned(), size, old, new })
    }

    /// Opens a handover: reads the note, and finds both signatures below it.
    ///
    /// # Errors
    ///
    /// `Damaged` when the note is cut, is no handover, or is not signed by both keys; `Limit` when it is larger than a
    /// note may be.
    pub fn open(note: &[u8]) -> Result<Self> {
        let note = Note::parse(note)?;
        let handover = Self::parse(&note.text)?;
        let keys = [handover.old.clone(), handover.new.clone()];
        let signed = note.verify(&keys)?;
        for (key, which) in keys.iter().zip(["old", "new"]) {
            if !signed.contains(&key) {
                return Err(Error::damaged(format!(
                    "handover of `{}` is not signed by its {which} key; both have to",
                    handover.origin
                )));
            }
        }
        Ok(handover)
    }

    /// The text that both sign: five lines, each ended.
    pub fn to_text(&self) -> String {
        format!("{HEADER}\n{}\n{}\n{}\n{}\n", self.origin, self.size, self.old, self.new)
    }

    /// The handover as a note signed by both keys.
    ///
    /// # Errors
    ///
    /// `Invalid` when these are not its two keys.
    pub fn signed(&self, old: &Signer, new: &Signer) -> Result<String> {
        let text = self.to_text();
        let note = format!("{}{}", Note::signed(&text, old)?, new.sign(&text));
        match Self::open(note.as_bytes()) {
            Ok(opened) if opened == *self => Ok(note),
            _ => Err(Error::invalid(format!("the handover of `{}` is not between these two keys", self.origin))),
        }
    }
}

/// A key and the sizes of the tree that it may have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reign {
    /// The key.
    pub key: Verifier,
    /// The smallest tree that it signs.
    pub from: u64,
    /// The largest tree that it signs; any as long as it did not hand over.
    pub until: Option<u64>,
}

impl Reign {
    /// That of a key of which no handover is known.
    pub fn unbounded(key: Verifier) -> Self {
        Self { key, from: 0, until: None }
    }

    /// Whether a tree of `size` leaves may be signed by the key.
    pub fn covers(&self, size: u64) -> bool {
        self.from <= size && self.until.is_none_or(|until| size <= until)
    }
}

/// The keys of a log in the order of their reigns, as seen by who trusts one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succession {
    reigns: Vec<Reign>,
    /// The place of the key that is trusted.
    trusted: usize,
}

impl Succession {
    /// That of a key of which no handover is known.
    pub fn alone(trusted: &Verifier) -> Self {
        Self { reigns: vec![Reign::unbounded(trusted.clone())], trusted: 0 }
    }

    /// The keys that `trusted` vouches for, by opened handovers in their order.
    ///
    /// # Errors
    ///
    /// `Damaged` when the handovers are not one chain: each hands over what the one before received, at the same or
    /// a larger size, and no key comes back; or when the trusted key is no link of it.
    pub fn of(trusted: &Verifier, handovers: &[Handover]) -> Result<Self> {
        let Some(first) = handovers.first() else { return Ok(Self::alone(trusted)) };
        let mut reigns = vec![Reign::unbounded(first.old.clone())];
        for (number, handover) in handovers.iter().enumerate() {
            take(&mut reigns, handover)
                .map_err(|reason| Error::damaged(format!("handover {number} of `{}` {reason}", handover.origin)))?;
        }
        let at = reigns.iter().position(|reign| reign.key == *trusted).ok_or_else(|| {
            Error::damaged(format!(
                "the handovers of `{}` do not name the key {}+{:08x}; it is another log's key, or they were replaced",
                first.origin,
                trusted.name(),
                trusted.id()
            ))
        })?;
        Ok(Self { reigns, trusted: at })
    }

    /// The trusted key and those that it handed over to: what they sign in their time counts.
    pub fn forward(&self) -> &[Reign] {
        &self.reigns[self.trusted..]
    }

    /// All of them. Those before the trusted key count for what the one who trusts it kept himself since that time,
    /// such as a checkpoint or a receipt: the handovers to it carry its own signature.
    pub fn all(&self) -> &[Reign] {
        &self.reigns
    }

    /// The trusted key.
    pub fn trusted(&self) -> &Reign {
        &self.reigns[self.trusted]
    }

    /// Whether the trusted key is the one that signs now.
    pub fn is_current(&self) -> bool {
        self.trusted + 1 == self.reigns.len()
    }
}

/// Who of `reigns` signed a note about a tree of `size` leaves in his time; `what` names the note.
///
/// # Errors
///
/// `Damaged` when a signature of one of the keys does not verify, or none of them signed it in its time.
pub fn signed_by<'r>(note: &Note, size: u64, reigns: &'r [Reign], what: &str) -> Result<&'r Reign> {
    let keys: Vec<Verifier> = reigns.iter().map(|reign| reign.key.clone()).collect();
    let signed = note.verify(&keys)?;
    let reign = reigns.iter().find(|reign| reign.covers(size) && signed.contains(&&reign.key));
    reign.ok_or_else(|| {
        let names: Vec<String> = signed.iter().map(|key| format!("{}+{:08x}", key.name(), key.id())).collect();
        Error::damaged(format!(
            "{what} is about {size} events and signed by {}, which had handed over before or received the log later",
            names.join(", ")
        ))
    })
}

/// Opens a checkpoint of `origin` that one of these keys signed in its time.
///
/// # Errors
///
/// `Damaged` when the note is cut, is signed by none of them in its time, is no checkpoint or is of another log;
/// `Limit` when it is larger than a note may be.
pub fn open_checkpoint<'r>(note: &[u8], origin: &str, reigns: &'r [Reign]) -> Result<(Checkpoint, &'r Reign)> {
    let note = Note::parse(note)?;
    let keys: Vec<Verifier> = reigns.iter().map(|reign| reign.key.clone()).collect();
    note.verify(&keys)?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    if checkpoint.origin != origin {
        return Err(Error::damaged(format!(
            "checkpoint is of the log `{}`, expected `{origin}`; ask for that of the right log",
            checkpoint.origin
        )));
    }
    let reign = signed_by(&note, checkpoint.size, reigns, "checkpoint")?;
    Ok((checkpoint, reign))
}

/// Appends the key that a handover leads to, or says why it cannot.
fn take(reigns: &mut Vec<Reign>, handover: &Handover) -> std::result::Result<(), &'static str> {
    if reigns.len() > HANDOVERS {
        return Err("is one too many; a log hands over a thousand times at most");
    }
    if reigns.iter().any(|reign| reign.key == handover.new) {
        return Err("leads back to a key that handed over before");
    }
    let last = reigns.last_mut().filter(|last| last.key == handover.old);
    let last = last.ok_or("is not by the key that the one before led to")?;
    if handover.size < last.from {
        return Err("is over a smaller tree than the one before");
    }
    last.until = Some(handover.size);
    reigns.push(Reign { key: handover.new.clone(), from: handover.size, until: None });
    Ok(())
}

fn read_key(origin: &str, vkey: &str) -> Result<Verifier> {
    let key = Verifier::parse(vkey).map_err(|e| Error::damaged("handover names what is no key").because(e))?;
    if key.to_string() != vkey || key.kind() != Kind::Ed25519 || key.name() != origin {
        return Err(Error::damaged(format!(
            "handover of `{origin}` names the key {}+{:08x}, which is not a key of that log in its one spelling",
            key.name(),
            key.id()
        )));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "example.com/log";

    fn key(seed: u8) -> Signer {
        Signer::new(ORIGIN, [seed; 32]).unwrap()
    }

    fn verifier(seed: u8) -> Verifier {
        key(seed).verifier(Kind::Ed25519)
    }

    fn handover(old: u8, new: u8, size: u64) -> Handover {
        Handover::between(&key(old), &key(new), size).unwrap()
    }

    #[test]
    fn a_handover_is_read_back_as_written_and_in_no_other_form() {
        let good = handover(1, 2, 7);
        let text = good.to_text();
        assert_eq!(Handover::parse(&text).unwrap(), good);
        let cosigner = Verifier::new(ORIGIN, Kind::Cosignature, *verifier(2).key()).unwrap().to_string();
        let stranger = Signer::new("example.com/other", [2; 32]).unwrap().vkey();
        let (old, new) = (key(1).vkey(), key(2).vkey());
        for (from, to) in [
            ("handover/1", "handover/2"),
            ("\n7\n", "\n07\n"),
            ("\n7\n", "\n-7\n"),
            ("\n7\n", "\n"),
            (new.as_str(), old.as_str()),
            (new.as_str(), cosigner.as_str()),
            (new.as_str(), stranger.as_str()),
            (new.as_str(), ""),
            ("\nexample.com/log\n", "\nexample.com/other\n"),
            ("\n", "\r\n"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from:?}");
            assert!(Handover::parse(&changed).is_err(), "{from:?} to {to:?}");
        }
        assert!(Handover::parse(&format!("{text}\n")).is_err());
        assert!(Handover::between(&key(1), &key(1), 7).is_err());
    }

    #[test]
    fn both_keys_have_to_sign() {
        let good = handover(1, 2, 7);
        let note = good.signed(&key(1), &key(2)).unwrap();
        assert_eq!(Handover::open(note.as_bytes()).unwrap(), good);
        for signer in [key(1), key(2), key(3)] {
            let alone = Note::signed(&good.to_text(), &signer).unwrap().to_string();
            assert!(Handover::open(alone.as_bytes()).is_err(), "{signer:?}");
        }
        assert!(good.signed(&key(1), &key(3)).is_err());
        assert!(Handover::open(note.replace("\n7\n", "\n8\n").as_bytes()).is_err());
    }

    #[test]
    fn one_trusted_key_vouches_for_those_that_follow_and_knows_those_before() {
        let chain = [handover(1, 2, 5), handover(2, 3, 9)];
        let reign = |seed, from, until| Reign { key: verifier(seed), from, until };
        let all = [reign(1, 0, Some(5)), reign(2, 5, Some(9)), reign(3, 9, None)];
        for (seed, at) in [(1, 0), (2, 1), (3, 2)] {
            let seen = Succession::of(&verifier(seed), &chain).unwrap();
            assert_eq!((seen.all(), seen.forward(), seen.trusted()), (&all[..], &all[at..], &all[at]));
            assert_eq!(seen.is_current(), seed == 3);
        }
        assert!(Succession::of(&verifier(4), &chain).is_err());
        assert_eq!(Succession::of(&verifier(4), &[]).unwrap(), Succession::alone(&verifier(4)));
    }

    #[test]
    fn handovers_that_are_not_one_chain_are_refused() {
        for (chain, why) in [
            (vec![handover(1, 2, 5), handover(1, 3, 9)], "a fork"),
            (vec![handover(1, 2, 5), handover(3, 4, 9)], "a gap"),
            (vec![handover(2, 3, 9), handover(1, 2, 5)], "out of order"),
            (vec![handover(1, 2, 5), handover(2, 1, 9)], "a return"),
            (vec![handover(1, 2, 5), handover(2, 3, 4)], "a tree that shrinks"),
        ] {
            assert!(Succession::of(&verifier(1), &chain).is_err(), "{why}");
        }
        assert!(Succession::of(&verifier(1), &[handover(1, 2, 5), handover(2, 3, 5)]).is_ok());
    }

    #[test]
    fn a_key_signs_checkpoints_of_its_own_time_alone() {
        let seen = Succession::of(&verifier(1), &[handover(1, 2, 5)]).unwrap();
        let sealed = |seed: u8, size| {
            let text = Checkpoint { origin: ORIGIN.into(), size, root: [3; 32] }.to_text();
            Note::signed(&text, &key(seed)).unwrap().to_string()
        };
        for (seed, size, is_good) in
            [(1, 4, true), (1, 5, true), (1, 6, false), (2, 4, false), (2, 5, true), (2, 6, true), (3, 6, false)]
        {
            let opened = open_checkpoint(sealed(seed, size).as_bytes(), ORIGIN, seen.forward());
            assert_eq!(opened.is_ok(), is_good, "key {seed}, {size} events");
        }
        assert!(open_checkpoint(sealed(1, 4).as_bytes(), "example.com/other", seen.forward()).is_err());
    }
}
