//! Signed notes: text, a blank line, and a line for every key that signed it; C2SP signed-note.
//!
//! In: bytes of a note, keys as text. Out: the text and who signed it, or signature lines. A name and a 32-bit id
//! tell which key a line claims to be of; the key itself is what the caller trusts. Invariant: the text of a note
//! means nothing until [`Note::verify`] has named a trusted key. Signatures are verified strictly, so that there is
//! one valid signature for a message and a weak key signs nothing. It must not print a secret key but in
//! [`Signer::skey`].

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature as Ed25519Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::cosignature;
use super::hash::Hash;
use crate::error::{Error, Result};

/// Bytes of a note: a page of signatures is far smaller.
pub const NOTE_BYTES: usize = 1_000_000;
/// Signatures of a note; C2SP asks for at least 16.
pub const NOTE_SIGNATURES: usize = 100;

/// What a key signs, by the type byte that C2SP signed-note assigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The text of a note, with Ed25519.
    Ed25519 = 0x01,
    /// A checkpoint as of a time, with Ed25519; C2SP tlog-cosignature.
    Cosignature = 0x04,
}

/// A public key with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    id: u32,
    kind: Kind,
    key: [u8; 32],
}

impl Verifier {
    /// The key of that name; its id is computed.
    ///
    /// # Errors
    ///
    /// `Invalid` when the name is empty or has white space, a plus or a control character, or the bytes are no
    /// point of the curve.
    pub fn new(name: &str, kind: Kind, key: [u8; 32]) -> Result<Self> {
        check_name(name)?;
        VerifyingKey::from_bytes(&key).map_err(|_| {
            Error::invalid(format!("key `{name}` is no Ed25519 public key; ask its owner for it again"))
        })?;
        Ok(Self { name: name.to_owned(), id: key_id(name, kind, &key), kind, key })
    }

    /// The key written as `name+hex(id)+base64(type || key)`.
    ///
    /// # Errors
    ///
    /// `Invalid` for another form, a type other than 0x01 and 0x04, or an id that is not that of the key.
    pub fn parse(vkey: &str) -> Result<Self> {
        let Some((name, id, kind, key)) = split_key(vkey) else {
            return Err(Error::invalid("public key is not written as name+id+base64; give the text of a .vkey file"));
        };
        let kind = match kind {
            0x01 => Kind::Ed25519,
            0x04 => Kind::Cosignature,
            _ => {
                return Err(Error::invalid(format!(
                    "public key `{name}` has the type 0x{kind:02x}, expected 0x01 (Ed25519) or 0x04 (cosignature)"
                )));
            }
        };
        let verifier = Self::new(name, kind, key)?;
        check_id(name, id, verifier.id)?;
        Ok(verifier)
    }

    /// Whose key it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256(name || 0x0A || type || key).
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it signs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The 32 bytes of RFC 8032.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Checks that `signature` is by this key, over `text` or, of a cosignature, over `text` and its time.
    ///
    /// # Errors
    ///
    /// `Damaged` when it is not.
    pub fn verify(&self, text: &str, signature: &Signature) -> Result<()> {
        match self.kind {
            Kind::Ed25519 => self.verify_message(text.as_bytes(), signature, &signature.bytes),
            Kind::Cosignature => cosignature::verify(self, text, signature).map(|_| ()),
        }
    }

    /// Checks the bytes of an Ed25519 signature that are part of a signature line.
    pub(super) fn verify_message(&self, message: &[u8], line: &Signature, bytes: &[u8]) -> Result<()> {
        if !line.is_by(self) {
            return Err(Error::damaged(format!(
                "signature is by key {}+{:08x}, expected {}+{:08x}",
                line.name, line.id, self.name, self.id
            )));
        }
        verify_ed25519(&self.key, message, bytes).map_err(|cause| {
            let name = &self.name;
            Error::damaged(format!("signature by `{name}` is not over this text; the text was changed")).because(cause)
        })
    }
}

impl fmt::Display for Verifier {
    /// `name+hex(id)+base64(type || key)`, as [`Verifier::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id, encode_key(self.kind, &self.key))
    }
}

/// A secret key with its name.
#[derive(Clone)]
pub struct Signer {
    name: String,
    key: SigningKey,
}

impl Signer {
    /// The key made from a seed of 32 random bytes.
    ///
    /// # Errors
    ///
    /// `Invalid` when the name is empty or has white space, a plus or a control character.
    pub fn new(name: &str, seed: [u8; 32]) -> Result<Self> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(&seed) })
    }

    /// The key written as `PRIVATE+KEY+name+hex(id)+base64(0x01 || seed)`.
    ///
    /// # Errors
    ///
    /// `Invalid` for another form or an id that is not that of the key.
    pub fn parse(skey: &str) -> Result<Self> {
        let parts = skey.strip_prefix(PRIVATE).and_then(split_key);
        let Some((name, id, 0x01, seed)) = parts else {
            return Err(Error::invalid(
                "secret key is not written as PRIVATE+KEY+name+id+base64 of type 0x01; give the text of a .key file",
            ));
        };
        let signer = Self::new(name, seed)?;
        check_id(name, id, signer.verifier(Kind::Ed25519).id)?;
        Ok(signer)
    }

    /// The secret key as text, as [`parse`](Self::parse) reads it; for a file that only its owner can read.
    pub fn skey(&self) -> String {
        let id = self.verifier(Kind::Ed25519).id;
        format!("{PRIVATE}{}+{id:08x}+{}", self.name, encode_key(Kind::Ed25519, &self.key.to_bytes()))
    }

    /// Whose key it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key for signatures of that kind.
    pub fn verifier(&self, kind: Kind) -> Verifier {
        let key = self.key.verifying_key().to_bytes();
        Verifier { name: self.name.clone(), id: key_id(&self.name, kind, &key), kind, key }
    }

    /// The public key of this signer's notes, as text.
    pub fn vkey(&self) -> String {
        self.verifier(Kind::Ed25519).to_string()
    }

    /// The signature line over the text of a note, with its line end. [`Note::signed`] checks that it can be one.
    pub fn sign(&self, text: &str) -> String {
        self.sign_message(Kind::Ed25519, &[], text.as_bytes())
    }

    /// The signature line whose bytes are `prefix` and the signature over `message`.
    pub(super) fn sign_message(&self, kind: Kind, prefix: &[u8], message: &[u8]) -> String {
        let signature: Ed25519Signature = self.key.sign(message);
        let bytes = [prefix, signature.to_bytes().as_slice()].concat();
        format!("{}\n", Signature { name: self.name.clone(), id: self.verifier(kind).id, bytes })
    }
}

impl fmt::Debug for Signer {
    /// The name without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A signature line, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key's name, as claimed.
    pub name: String,
    /// The key's id, as claimed.
    pub id: u32,
    /// What the kind of key asks for: 64 bytes of Ed25519, or 8 bytes of time and these.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// Reads `— name base64(id || bytes)`, without a line end.
    ///
    /// # Errors
    ///
    /// `Damaged` for another form.
    pub fn parse(line: &str) -> Result<Self> {
        read_signature(line).ok_or_else(|| {
            Error::damaged("line below the note's text is not written as `— name base64`; the note is cut")
        })
    }

    /// Whether the line claims to be by this key.
    pub fn is_by(&self, key: &Verifier) -> bool {
        self.id == key.id && self.name == key.name
    }
}

impl fmt::Display for Signature {
    /// `— name base64(id || bytes)`, without a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.to_be_bytes().as_slice(), self.bytes.as_slice()].concat();
        write!(f, "{DASH}{} {}", self.name, BASE64.encode(bytes))
    }
}

/// A note: text and signature lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What is signed, with its last line end.
    pub text: String,
    /// Who claims to have signed it.
    pub signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note; nothing is verified.
    ///
    /// # Errors
    ///
    /// `Damaged` when it is not text with a blank line and at least one signature line behind it, all lines ended;
    /// `Limit` when it is larger than [`NOTE_BYTES`] or has more than [`NOTE_SIGNATURES`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > NOTE_BYTES {
            return Err(Error::limit(format!("note has {} bytes, the limit is {NOTE_BYTES}", bytes.len())));
        }
        let note = std::str::from_utf8(bytes).map_err(|e| Error::damaged("note is not UTF-8").because(e))?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(Error::damaged(
                "note has a control character other than a line end; it was changed on its way",
            ));
        }
        // The text may have blank lines, the signatures have none: the last one divides them.
        let parts = note.rfind("\n\n").map(|at| (&note[..at + 1], &note[at + 2..]));
        let Some((text, lines)) = parts.and_then(|(text, lines)| Some((text, lines.strip_suffix('\n')?))) else {
            return Err(Error::damaged("note does not end in a blank line and signature lines; it is cut"));
        };
        let count = lines.split('\n').count();
        if count > NOTE_SIGNATURES {
            return Err(Error::limit(format!("note has {count} signatures, the limit is {NOTE_SIGNATURES}")));
        }
        let signatures = lines.split('\n').map(Signature::parse).collect::<Result<_>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The note of `text` signed by `signer`.
    ///
    /// # Errors
    ///
    /// `Invalid` when the text cannot be that of a note: it does not end in a line end, has a control character, or
    /// is too large.
    pub fn signed(text: &str, signer: &Signer) -> Result<Self> {
        match Self::parse(format!("{text}\n{}", signer.sign(text)).as_bytes()) {
            Ok(note) if note.text == text => Ok(note),
            _ => Err(Error::invalid(format!(
                "text of {} bytes cannot be signed as a note; end it with a line end and leave control characters out",
                text.len()
            ))),
        }
    }

    /// The keys that signed it, each once, in the order of their lines.
    ///
    /// Lines of unknown keys are ignored, as C2SP asks; one bad signature of a known key spoils the note.
    ///
    /// # Errors
    ///
    /// `Damaged` when a signature of a known key does not verify or no line is of a known key.
    pub fn verify<'k>(&self, keys: &'k [Verifier]) -> Result<Vec<&'k Verifier>> {
        let mut signed: Vec<&Verifier> = Vec::new();
        for signature in &self.signatures {
            let Some(key) = keys.iter().find(|key| signature.is_by(key)) else { continue };
            key.verify(&self.text, signature)?;
            if !signed.contains(&key) {
                signed.push(key);
            }
        }
        if signed.is_empty() {
            let list = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let found = self.signatures.iter().map(|s| format!("{}+{:08x}", s.name, s.id)).collect();
            let known = keys.iter().map(|key| format!("{}+{:08x}", key.name, key.id)).collect();
            return Err(Error::damaged(format!(
                "note is signed by no key that is trusted here: signed by {}, trusted {}; give the log's public key",
                list(found),
                list(known)
            )));
        }
        Ok(signed)
    }
}

impl fmt::Display for Note {
    /// The note as [`Note::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// Verifies an Ed25519 signature (RFC 8032) strictly: besides what the RFC asks for, no key or commitment of small
/// order passes, so that a signature binds one key to one message.
///
/// # Errors
///
/// `Invalid` for bytes that are no key, `Damaged` for a signature that does not verify.
pub fn verify_ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
    let found = key.len();
    let key = <&[u8; 32]>::try_from(key)
        .map_err(|_| Error::invalid(format!("Ed25519 public key has {found} bytes, expected 32")))?;
    let found = signature.len();
    let signature = <&[u8; 64]>::try_from(signature)
        .map_err(|_| Error::damaged(format!("Ed25519 signature has {found} bytes, expected 64")))?;
    let key = VerifyingKey::from_bytes(key).map_err(|_| Error::invalid("bytes are no Ed25519 public key"))?;
    key.verify_strict(message, &Ed25519Signature::from_bytes(signature))
        .map_err(|_| Error::damaged("Ed25519 signature does not verify"))
}

/// What a signature line starts with: an em dash and a space.
const DASH: &str = "— ";
/// What a secret key starts with.
const PRIVATE: &str = "PRIVATE+KEY+";

fn key_id(name: &str, kind: Kind, key: &[u8; 32]) -> u32 {
    let mut hash = Sha256::new();
    hash.update(name);
    hash.update([b'\n', kind as u8]);
    hash.update(key);
    let hash: Hash = hash.finalize().into();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

fn encode_key(kind: Kind, key: &[u8; 32]) -> String {
    BASE64.encode([[kind as u8].as_slice(), key.as_slice()].concat())
}

/// Name, id, type byte and key of `name+hex(id)+base64(type || key)`.
fn split_key(text: &str) -> Option<(&str, u32, u8, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    // Reading a number would take a sign and fewer digits.
    if id.len() != 8 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let id = u32::from_str_radix(id, 16).ok()?;
    let bytes = BASE64.decode(key).ok()?;
    let (kind, key) = bytes.split_first()?;
    Some((name, id, *kind, <[u8; 32]>::try_from(key).ok()?))
}

fn read_signature(line: &str) -> Option<Signature> {
    let (name, data) = line.strip_prefix(DASH)?.split_once(' ')?;
    let data = BASE64.decode(data).ok()?;
    let (id, bytes) = data.split_first_chunk::<4>()?;
    let is_whole = is_name(name) && !bytes.is_empty();
    is_whole.then(|| Signature { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn check_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "key name {name:?} is empty or has white space or a plus; write it like example.com/log"
    )))
}

fn check_id(name: &str, found: u32, expected: u32) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::invalid(format!("key `{name}` has the id {found:08x}, expected {expected:08x}; its text was changed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_being_written_and_read() {
        let signer = Signer::new("example.com/log", [7; 32]).unwrap();
        assert_eq!(Signer::parse(&signer.skey()).unwrap().vkey(), signer.vkey());
        for kind in [Kind::Ed25519, Kind::Cosignature] {
            let key = signer.verifier(kind);
            assert_eq!(Verifier::parse(&key.to_string()).unwrap(), key);
        }
        assert!(!format!("{signer:?}").contains(&signer.skey()[30..]));
        for name in ["", "two words", "a+b", "tab\t", "line\n", "no\u{a0}break"] {
            assert!(Signer::new(name, [7; 32]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn only_text_that_can_be_read_back_is_signed() {
        let signer = Signer::new("example.com/log", [7; 32]).unwrap();
        let note = Note::signed("first\n\nthird\n", &signer).unwrap();
        assert_eq!(Note::parse(note.to_string().as_bytes()).unwrap(), note);
        assert_eq!(note.verify(&[signer.verifier(Kind::Ed25519)]).unwrap().len(), 1);
        assert!(note.verify(&[signer.verifier(Kind::Cosignature)]).is_err());
        for text in ["", "no end", "tab\t\n", "return\r\n"] {
            assert!(Note::signed(text, &signer).is_err(), "{text:?}");
        }
    }
}
