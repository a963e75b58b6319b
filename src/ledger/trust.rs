//! Trust policies: whose signatures an auditor asks for before he believes a checkpoint, C2SP tlog-policy.
//!
//! In: the text of a policy; a note. Out: the policy, and which witnesses vouch for the note if that is enough.
//! Invariant: a name stands for one witness or group defined on an earlier line and is a member of one group at
//! most, so that each witness counts in one way. The URL of a witness is kept for whoever asks it; that of a log is read
//! over, and nothing is fetched here. It must not decide which log is meant; a policy without `log` lines leaves that to
//! the caller.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::decimal;
use super::cosignature;
use super::note::{Kind, Note, Verifier};
use crate::error::{Error, Result};

/// Lines of one kind; the specification asks for 32 at least.
const LINES_OF_A_KIND: usize = 256;

/// Known logs, known witnesses, and how many of them must have cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Verifier>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// None when no cosignature is asked for.
    quorum: Option<Member>,
}

/// A cosignature that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The witness by its name in the policy.
    pub witness: String,
    /// When it saw the checkpoint, in seconds since 1970; the latest if it says so more than once.
    pub time: u64,
}

/// Names are opaque bytes in a policy, whatever characters they look like.
type Name = Vec<u8>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Witness {
    name: Name,
    key: Verifier,
    url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: Name,
    threshold: usize,
    members: Vec<Member>,
}

/// A witness or a group by its place in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Witness(usize),
    Group(usize),
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the line, for a control character, a line that is no `log`, `witness`, `group` or `quorum`, a
    /// key of the wrong kind or given twice, a name defined twice or not before its use, a name that is a member
    /// twice, a threshold that no members can reach, no quorum or two, a last line without its end.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let Some(lines) = text.strip_suffix(b"\n") else {
            return Err(Error::invalid("trust policy does not end in a line end; add one, or get the whole file"));
        };
        let mut reader = Reader::default();
        for (number, line) in (1u64..).zip(lines.split(|byte| *byte == b'\n')) {
            reader.take_line(line).map_err(|reason| Error::invalid(format!("trust policy line {number} {reason}")))?;
        }
        let Some(quorum) = reader.quorum else {
            return Err(Error::invalid("trust policy has no quorum; end it with `quorum NAME` or `quorum none`"));
        };
        Ok(Self { logs: reader.logs, witnesses: reader.witnesses, groups: reader.groups, quorum })
    }

    /// The policy as [`parse`](Self::parse) reads it, without comments and the URLs of logs.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut line = |words: &[&[u8]]| {
            text.extend(words.join(&b' '));
            text.push(b'\n');
        };
        for key in &self.logs {
            line(&[b"log".as_slice(), key.to_string().as_bytes()]);
        }
        for Witness { name, key, url } in &self.witnesses {
            let key = key.to_string();
            let mut words = vec![b"witness".as_slice(), name.as_slice(), key.as_bytes()];
            words.extend(url.as_deref().map(str::as_bytes));
            line(&words);
        }
        for group in &self.groups {
            let threshold = group.threshold.to_string();
            let mut words = vec![b"group".as_slice(), group.name.as_slice(), threshold.as_bytes()];
            words.extend(group.members.iter().map(|member| self.name_of(*member)));
            line(&words);
        }
        line(&[b"quorum".as_slice(), self.quorum.map_or(NONE, |member| self.name_of(member))]);
        text
    }

    /// The logs that the policy knows; any when there are none.
    pub fn logs(&self) -> &[Verifier] {
        &self.logs
    }

    /// The witnesses that the policy knows: name, key, and where they are asked if it says so.
    pub fn witnesses(&self) -> impl Iterator<Item = (String, &Verifier, Option<&str>)> {
        self.witnesses.iter().map(|witness| (printable(&witness.name), &witness.key, witness.url.as_deref()))
    }

    /// Which witnesses cosigned the checkpoint, if a known log signed it and they are a quorum; none when the policy
    /// has no witnesses.
    ///
    /// # Errors
    ///
    /// `Damaged` when the note is not signed by a log of the policy, when its first line is not that log's name,
    /// when a cosignature of a known witness does not verify, or when the quorum is not reached.
    pub fn satisfied_by(&self, note: &Note) -> Result<Vec<Cosigned>> {
        self.check_log(note)?;
        let times = self.times(note)?;
        let cosigned: Vec<Cosigned> = self
            .witnesses
            .iter()
            .zip(&times)
            .filter_map(|(witness, time)| Some(Cosigned { witness: printable(&witness.name), time: (*time)? }))
            .collect();
        if self.is_met_by(&times) {
            return Ok(cosigned);
        }
        let names: Vec<&str> = cosigned.iter().map(|one| one.witness.as_str()).collect();
        let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let quorum = self.quorum.map_or_else(String::new, |member| printable(self.name_of(member)));
        Err(Error::damaged(format!(
            "quorum `{quorum}` of the trust policy is not reached: cosigned by {found} of {} witnesses known; ask for \
             more cosignatures",
            self.witnesses.len()
        )))
    }

    fn check_log(&self, note: &Note) -> Result<()> {
        if self.logs.is_empty() {
            return Ok(());
        }
        let origin = note.text.lines().next().unwrap_or_default();
        if note.verify(&self.logs)?.iter().any(|key| key.name() == origin) {
            return Ok(());
        }
        Err(Error::damaged(format!("checkpoint of `{origin}` is signed by a log of the policy that has another name")))
    }

    /// The time of the cosignature of each witness, in their order.
    fn times(&self, note: &Note) -> Result<Vec<Option<u64>>> {
        let mut times = vec![None; self.witnesses.len()];
        for signature in &note.signatures {
            for (witness, time) in self.witnesses.iter().zip(&mut times) {
                if signature.is_by(&witness.key) {
                    *time = (*time).max(Some(cosignature::verify(&witness.key, &note.text, signature)?));
                }
            }
        }
        Ok(times)
    }

    fn is_met_by(&self, times: &[Option<u64>]) -> bool {
        let Some(quorum) = self.quorum else { return true };
        let vouches = |groups: &[bool], member: Member| match member {
            Member::Witness(at) => times[at].is_some(),
            Member::Group(at) => groups[at],
        };
        // A group has members defined before it only, so that one pass in their order settles all.
        let mut groups: Vec<bool> = Vec::new();
        for group in &self.groups {
            let count = group.members.iter().filter(|member| vouches(&groups, **member)).count();
            groups.push(count >= group.threshold);
        }
        vouches(&groups, quorum)
    }

    fn name_of(&self, member: Member) -> &[u8] {
        match member {
            Member::Witness(at) => &self.witnesses[at].name,
            Member::Group(at) => &self.groups[at].name,
        }
    }
}

/// The quorum that asks for nothing.
const NONE: &[u8] = b"none";

/// Why a line is refused, to be read behind its number.
type Reason = String;

/// A policy while it is read.
#[derive(Default)]
struct Reader {
    logs: Vec<Verifier>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Option<Member>>,
    names: BTreeMap<Name, Member>,
    grouped: BTreeSet<Member>,
}

impl Reader {
    fn take_line(&mut self, line: &[u8]) -> std::result::Result<(), Reason> {
        let is_allowed = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if !line.iter().copied().all(is_allowed) {
            return Err("has a control character other than a tab".into());
        }
        let words: Vec<&[u8]> = line.split(|b| *b == b' ' || *b == b'\t').filter(|word| !word.is_empty()).collect();
        match words.first() {
            None => Ok(()),
            Some(word) if word.starts_with(b"#") => Ok(()),
            Some(_) => self.take(&words),
        }
    }

    fn take(&mut self, words: &[&[u8]]) -> std::result::Result<(), Reason> {
        match words {
            [b"log", key] | [b"log", key, _] => self.take_log(key)?,
            [b"witness", name, key] => self.take_witness(name, key, None)?,
            [b"witness", name, key, url] => self.take_witness(name, key, Some(*url))?,
            [b"group", name, threshold, members @ ..] => self.take_group(name, threshold, members)?,
            [b"quorum", name] => self.take_quorum(name)?,
            _ => {
                let with_keys = "`log VKEY [URL]`, `witness NAME VKEY [URL]`";
                return Err(format!("is none of {with_keys}, `group NAME K|any|all NAME...`, `quorum NAME`"));
            }
        }
        if self.logs.len().max(self.witnesses.len()).max(self.groups.len()) > LINES_OF_A_KIND {
            return Err(format!("is one too many: at most {LINES_OF_A_KIND} logs, witnesses and groups each"));
        }
        Ok(())
    }

    fn take_log(&mut self, vkey: &[u8]) -> std::result::Result<(), Reason> {
        let key = read_key(vkey, Kind::Ed25519)?;
        if self.logs.iter().any(|log| log.key() == key.key()) {
            return Err("repeats the key of an earlier log".into());
        }
        self.logs.push(key);
        Ok(())
    }

    fn take_witness(&mut self, name: &[u8], vkey: &[u8], url: Option<&[u8]>) -> std::result::Result<(), Reason> {
        let key = read_key(vkey, Kind::Cosignature)?;
        let url = url.map(|url| String::from_utf8(url.to_vec()).map_err(|_| "has a URL that is not UTF-8".to_owned()));
        let url = url.transpose()?;
        if self.witnesses.iter().any(|witness| witness.key.key() == key.key()) {
            return Err("repeats the key of an earlier witness, which would count twice".into());
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: name.to_vec(), key, url });
        Ok(())
    }

    fn take_group(&mut self, name: &[u8], threshold: &[u8], members: &[&[u8]]) -> std::result::Result<(), Reason> {
        let count = members.len();
        let number = std::str::from_utf8(threshold).ok().and_then(decimal).and_then(|k| usize::try_from(k).ok());
        let threshold = match threshold {
            b"any" => 1,
            b"all" => count,
            _ => number.ok_or("has a threshold that is not `all`, `any` or a decimal number")?,
        };
        if !(1..=count).contains(&threshold) {
            return Err(format!("asks for {threshold} of {count} members; it must be from 1 to their number"));
        }
        let mut resolved = Vec::with_capacity(count);
        for member in members {
            let found = self.named(member)?;
            if !self.grouped.insert(found) {
                return Err(format!("lists `{}`, which is a member already and would count twice", printable(member)));
            }
            resolved.push(found);
        }
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { name: name.to_vec(), threshold, members: resolved });
        Ok(())
    }

    fn take_quorum(&mut self, name: &[u8]) -> std::result::Result<(), Reason> {
        if self.quorum.is_some() {
            return Err("is a second quorum; give one".into());
        }
        self.quorum = Some(if name == NONE { None } else { Some(self.named(name)?) });
        Ok(())
    }

    fn named(&self, name: &[u8]) -> std::result::Result<Member, Reason> {
        let unknown = || format!("names `{}`, which no earlier line defines", printable(name));
        self.names.get(name).copied().ok_or_else(unknown)
    }

    fn define(&mut self, name: &[u8], member: Member) -> std::result::Result<(), Reason> {
        if name == NONE || self.names.contains_key(name) {
            return Err(format!("defines `{}`, which has a meaning already", printable(name)));
        }
        self.names.insert(name.to_vec(), member);
        Ok(())
    }
}

fn read_key(vkey: &[u8], kind: Kind) -> std::result::Result<Verifier, Reason> {
    let vkey = std::str::from_utf8(vkey).map_err(|_| "has a key that is not UTF-8".to_owned())?;
    let key = Verifier::parse(vkey).map_err(|e| format!("has an unusable key: {e}"))?;
    if key.kind() == kind {
        return Ok(key);
    }
    let (found, expected) = (key.kind() as u8, kind as u8);
    Err(format!("has a key of type 0x{found:02x}, expected 0x{expected:02x}; logs have 0x01, witnesses 0x04"))
}

fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::note::Signer;

    fn signer(number: u8) -> Signer {
        Signer::new(&format!("example.com/{number}"), [number; 32]).unwrap()
    }

    fn log(number: u8) -> String {
        format!("log {}\n", signer(number).vkey())
    }

    fn witness(number: u8) -> String {
        format!("witness w{number} {}\n", cosignature::vkey(&signer(number)))
    }

    /// A checkpoint of log 1, cosigned by some.
    fn note(witnesses: &[u8]) -> Note {
        let text = "example.com/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        let lines = witnesses.iter().map(|n| cosignature::cosign(&signer(*n), u64::from(*n), text));
        let all = format!("{text}\n{}{}", signer(1).sign(text), lines.collect::<String>());
        Note::parse(all.as_bytes()).unwrap()
    }

    #[test]
    fn groups_of_groups_are_counted_to_the_quorum() {
        let witnesses: String = (2..8).map(witness).collect();
        let groups = "group X 2 w2 w3 w4\n# a comment\n\n\tgroup Y any w5 w6 w7\ngroup both all X Y\nquorum  both\n";
        let policy = Policy::parse(format!("{}{witnesses}{groups}", log(1)).as_bytes()).unwrap();
        for (cosigned, is_enough) in [
            (vec![2, 4, 7], true),
            (vec![2, 3, 4], false),
            (vec![2, 5, 6, 7], false),
            (vec![2, 3, 4, 5], true),
            (vec![], false),
        ] {
            assert_eq!(policy.satisfied_by(&note(&cosigned)).is_ok(), is_enough, "{cosigned:?}");
        }
        let found = policy.satisfied_by(&note(&[9, 7, 4, 2])).unwrap();
        let found: Vec<(&str, u64)> = found.iter().map(|one| (one.witness.as_str(), one.time)).collect();
        assert_eq!(found, [("w2", 2), ("w4", 4), ("w7", 7)]);
        assert_eq!(Policy::parse(&policy.to_text()).unwrap(), policy);
    }

    #[test]
    fn the_log_must_be_one_of_the_policy_and_no_known_cosignature_may_be_false() {
        let parse = |text: String| Policy::parse(text.as_bytes()).unwrap();
        assert!(parse(format!("{}quorum none\n", log(1))).satisfied_by(&note(&[])).unwrap().is_empty());
        assert!(parse("quorum none\n".into()).satisfied_by(&note(&[])).is_ok());
        assert!(parse(format!("{}quorum none\n", log(2))).satisfied_by(&note(&[])).is_err());
        let mut forged = note(&[3]);
        forged.signatures[1].bytes[20] ^= 1;
        assert!(parse(format!("{}quorum none\n", witness(3))).satisfied_by(&forged).is_err());
        assert!(parse("quorum none\n".into()).satisfied_by(&forged).is_ok());
    }

    #[test]
    fn witnesses_are_told_with_the_place_where_they_are_asked() {
        let asked = witness(2).replace('\n', " https://example.com/2\n");
        let policy = Policy::parse(format!("{asked}{}quorum w2\n", witness(3)).as_bytes()).unwrap();
        let keys = [2, 3].map(|number| signer(number).verifier(Kind::Cosignature));
        let found: Vec<_> = policy.witnesses().collect();
        assert_eq!(found[0], ("w2".to_owned(), &keys[0], Some("https://example.com/2")));
        assert_eq!(found[1..], [("w3".to_owned(), &keys[1], None)]);
        assert_eq!(Policy::parse(&policy.to_text()).unwrap(), policy);
    }

    #[test]
    fn a_policy_is_read_strictly() {
        let (w2, w3) = (witness(2), witness(3));
        let twice = w2.replace("witness w2", "witness w3");
        let w2_as_log = w2.replace("witness w2", "log");
        let log_as_witness = log(1).replacen("log", "witness w1", 1);
        for wrong in [
            String::new(),
            "quorum none".into(),
            "quorum none\nquorum none\n".into(),
            "quorum none\r\n".into(),
            "quorum w2\n".into(),
            format!("quorum w2\n{w2}"),
            "wizard w2\nquorum none\n".into(),
            format!("{w2}{w2}quorum none\n"),
            format!("{w2}{twice}quorum none\n"),
            format!("{w2_as_log}quorum none\n"),
            format!("{log_as_witness}quorum none\n"),
            format!("{}{}quorum none\n", log(1), log(1)),
            format!("{}quorum none\n", w2.replace("witness w2", "witness none")),
            format!("{w2}group g 0 w2\nquorum g\n"),
            format!("{w2}group g 2 w2\nquorum g\n"),
            format!("{w2}group g 01 w2\nquorum g\n"),
            format!("{w2}group g all\nquorum none\n"),
            format!("{w2}group w2 all w2\nquorum none\n"),
            format!("{w2}group g any none\nquorum g\n"),
            format!("{w2}group g any w2 w2\nquorum g\n"),
            format!("{w2}{w3}group g any w2\ngroup h any w2 w3\nquorum h\n"),
            format!("{w2}group g any g\nquorum g\n"),
        ] {
            assert!(Policy::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let opaque = [w2.trim_end().as_bytes(), b" https://example.com/\xff\nquorum none\n"].concat();
        assert!(Policy::parse(&opaque).is_err());
        let opaque = [b"# \xff\n".as_slice(), b"quorum none\n"].concat();
        assert!(Policy::parse(&opaque).is_ok());
    }
}
