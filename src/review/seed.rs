//! The seed of a sample, and how far anybody could have chosen it.
//!
//! In: the first signed checkpoint after the plan, frame hash, plan hash, attempt, revealed entropy. Out: the seed
//! text, its hash, a class; `extra` of `review.drawn` is a [`Drawn`]. Invariant: everything in the seed text was settled
//! by the plan or could not be known when it was logged; whoever lacks a promised part has no seed. Pure.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::plan::{Plan, Promise, is_hash};
use crate::analysis::sampler::seed_hash;
use crate::error::{Error, Result};
use crate::ledger::hash::hex;

/// The first line of a seed text.
const HEADER: &str = "sample-review-seed/v1";
/// Bytes of revealed entropy at least: fewer could be guessed from their commitment.
const LEAST_BYTES: usize = 16;

/// What a seed is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// The log's name, of the checkpoint.
    pub origin: String,
    /// Its size: that of the first signed checkpoint of at least the plan's seq + 1.
    pub size: u64,
    /// Its root in hexadecimal digits.
    pub root: String,
    /// The hash of the frame.
    pub frame_hash: String,
    /// The leaf hash of `review.planned` in hexadecimal digits.
    pub plan_hash: String,
    /// The attempt.
    pub attempt: u32,
    /// What was revealed after the checkpoint, by kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entropy: Vec<Entropy>,
}

/// Entropy that a plan promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entropy {
    /// The promise's kind.
    pub kind: String,
    /// The bytes in lower-case hexadecimal digits.
    pub hex: String,
}

/// Who could have chosen the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// A public beacon, named in advance.
    A,
    /// A reviewer's entropy, committed to before and revealed after.
    B,
    /// A checkpoint that independent witnesses cosigned.
    C,
    /// A checkpoint alone.
    D,
}

impl Class {
    /// The class of a seed by `plan` whose checkpoint has so many independent `cosignatures`.
    pub fn of(plan: &Plan, cosignatures: usize) -> Self {
        let has = |is_kind: fn(&Promise) -> bool| plan.entropy.iter().any(is_kind);
        if has(|promise| promise.round.is_some()) {
            Self::A
        } else if has(|promise| promise.commitment.is_some()) {
            Self::B
        } else if cosignatures > 0 {
            Self::C
        } else {
            Self::D
        }
    }

    /// What it means, in a sentence.
    pub fn means(self) -> &'static str {
        match self {
            Self::A => {
                "a public beacon that the plan named in advance: if it is what was published, nobody could choose"
            }
            Self::B => {
                "entropy of a reviewer, committed to before the checkpoint and revealed after it: neither the operator \
                 nor the reviewer alone could choose the sample"
            }
            Self::C => "a checkpoint with independent cosignatures: the operator could not choose it unseen",
            Self::D => "a checkpoint alone: an operator who tries many could choose among samples",
        }
    }
}

/// What `review.drawn` states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// The parts of the seed.
    pub seed: Seed,
    /// [`Seed::hash`].
    pub seed_hash: String,
    /// Who could have chosen it.
    pub class: Class,
    /// Items, or draws by value, of the order.
    pub items: u64,
    /// The hash of the order.
    pub order_hash: String,
}

impl Seed {
    /// The text that is hashed.
    pub fn text(&self) -> String {
        let Self { origin, size, root, frame_hash, plan_hash, attempt, entropy } = self;
        let mut kinds: Vec<&Entropy> = entropy.iter().collect();
        kinds.sort_by(|a, b| a.kind.cmp(&b.kind));
        let lines: String = kinds.iter().map(|entropy| format!("{}:{}\n", entropy.kind, entropy.hex)).collect();
        format!("{HEADER}\n{origin}\n{size}\n{root}\n{frame_hash}\n{plan_hash}\n{attempt}\n{lines}")
    }

    /// Hexadecimal SHA-256 of the text: what tickets are made with.
    pub fn hash(&self) -> String {
        seed_hash(&self.text())
    }

    /// Checks that the seed keeps what `plan` promised.
    ///
    /// # Errors
    /// `Invalid` when it is of another frame or attempt, has a part that is no hash or name, lacks entropy that was
    /// promised or has some that was not, or entropy that does not open its commitment. Without a promised part the
    /// attempt has ended and counts.
    pub fn check(&self, plan: &Plan) -> Result<()> {
        let is_line = !self.origin.is_empty() && !self.origin.chars().any(char::is_control);
        let are_hashes = [&self.root, &self.frame_hash, &self.plan_hash].into_iter().all(|hash| is_hash(hash));
        if !is_line || !are_hashes {
            return Err(Error::invalid(
                "the seed has an origin of more than a line, or a root, frame hash or plan hash that is no hexadecimal \
                 SHA-256; take them from the checkpoint and the plan",
            ));
        }
        if self.frame_hash != plan.frame.frame_hash || self.attempt != plan.attempt {
            return Err(Error::invalid("the seed is of another frame or attempt than the plan; draw by its own plan"));
        }
        let kinds: Vec<&str> = self.entropy.iter().map(|entropy| entropy.kind.as_str()).collect();
        if let Some(missing) = plan.entropy.iter().find(|promise| !kinds.contains(&promise.kind.as_str())) {
            return Err(Error::invalid(format!(
                "entropy `{}` was promised and is not revealed; reveal it, or abort the attempt, which counts",
                missing.kind
            )));
        }
        if kinds.len() != plan.entropy.len() {
            return Err(Error::invalid("the seed has entropy that the plan does not promise; leave it out"));
        }
        self.entropy.iter().try_for_each(|entropy| entropy.check(plan))
    }
}

impl Entropy {
    fn check(&self, plan: &Plan) -> Result<()> {
        let kind = &self.kind;
        let bytes = bytes(&self.hex).filter(|bytes| bytes.len() >= LEAST_BYTES).ok_or_else(|| {
            Error::invalid(format!(
                "entropy `{kind}` is not of at least {LEAST_BYTES} bytes in lower-case hexadecimal digits"
            ))
        })?;
        let commitment =
            plan.entropy.iter().find(|promise| promise.kind == *kind).and_then(|promise| promise.commitment.as_ref());
        match commitment {
            Some(commitment) if *commitment != hex(&Sha256::digest(&bytes)) => Err(Error::invalid(format!(
                "entropy `{kind}` does not open its commitment; reveal the bytes whose SHA-256 the plan names"
            ))),
            _ => Ok(()),
        }
    }
}

/// The bytes that lower-case hexadecimal digits write.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::plan::testing::{frame, plan};
    use super::*;

    fn text(value: &Value) -> String {
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn texts_and_hashes_are_those_of_the_vectors() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/stats/seed_derivation.json")).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() >= 7);
        for case in cases {
            let entropy = |pair: &Value| Entropy { kind: text(&pair[0]), hex: text(&pair[1]) };
            let seed = Seed {
                origin: text(&case["origin"]),
                size: case["tree_size"].as_u64().unwrap(),
                root: text(&case["root"]),
                frame_hash: text(&case["frame_hash"]),
                plan_hash: text(&case["plan_hash"]),
                attempt: case["attempt"].as_u64().unwrap() as u32,
                entropy: case["entropy"].as_array().unwrap().iter().map(entropy).collect(),
            };
            assert_eq!((seed.text(), seed.hash()), (text(&case["seed_text"]), text(&case["seed_hash"])), "{case}");
            let ticket = seed_hash(&format!("{}item-0", seed.hash()));
            assert_eq!(ticket, text(&case["ticket_item0"]), "{case}");
        }
    }

    const REVEALED: &str = "00112233445566778899aabbccddeeff";

    /// A plan that promises a beacon and a reviewer's entropy, and a seed that keeps it.
    fn kept() -> (Plan, Seed) {
        let mut plan = plan(&frame(&[("a", 5)]));
        let commitment = hex(&Sha256::digest(bytes(REVEALED).unwrap()));
        plan.entropy = vec![
            Promise { kind: "drand".into(), round: Some("7".into()), commitment: None },
            Promise { kind: "reviewer".into(), round: None, commitment: Some(commitment) },
        ];
        let entropy = |kind: &str| Entropy { kind: kind.into(), hex: REVEALED.into() };
        let seed = Seed {
            origin: "example.com/log".into(),
            size: 9,
            root: "0".repeat(64),
            frame_hash: plan.frame.frame_hash.clone(),
            plan_hash: "1".repeat(64),
            attempt: 1,
            entropy: vec![entropy("reviewer"), entropy("drand")],
        };
        (plan, seed)
    }

    #[test]
    fn a_seed_keeps_every_promise_of_its_plan() {
        let (plan, seed) = kept();
        seed.check(&plan).unwrap();
        type Fault = (fn(&mut Seed), &'static str);
        let faults: [Fault; 8] = [
            (|s| s.entropy.truncate(1), "`drand` was promised"),
            (|s| s.entropy.push(Entropy { kind: "more".into(), hex: REVEALED.into() }), "does not promise"),
            (|s| s.entropy[0].hex = REVEALED.replace('f', "e"), "does not open"),
            (|s| s.entropy[1].hex.truncate(30), "at least 16 bytes"),
            (|s| s.entropy[1].hex.push('a'), "at least 16 bytes"),
            (|s| s.attempt = 2, "another frame or attempt"),
            (|s| s.frame_hash = "2".repeat(64), "another frame or attempt"),
            (|s| s.origin.push('\n'), "more than a line"),
        ];
        for (fault, word) in faults {
            let mut faulty = seed.clone();
            fault(&mut faulty);
            let error = faulty.check(&plan).expect_err(word);
            assert!(error.message().contains(word), "{error}");
        }
    }

    #[test]
    fn kinds_enter_the_text_sorted_whatever_their_order() {
        let (_, mut seed) = kept();
        let text = seed.text();
        assert!(text.ends_with(&format!("\n1\ndrand:{REVEALED}\nreviewer:{REVEALED}\n")), "{text}");
        seed.entropy.reverse();
        assert_eq!(seed.text(), text);
    }

    #[test]
    fn the_class_is_that_of_the_strongest_part() {
        let (mut plan, _) = kept();
        assert_eq!(Class::of(&plan, 0), Class::A);
        plan.entropy.remove(0);
        assert_eq!(Class::of(&plan, 3), Class::B);
        plan.entropy.clear();
        assert_eq!((Class::of(&plan, 1), Class::of(&plan, 0)), (Class::C, Class::D));
        assert_eq!(serde_json::to_string(&Class::D).unwrap(), "\"D\"");
    }
}
