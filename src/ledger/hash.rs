//! Hashes of the tree: SHA-256 with one prefix for leaves and another for nodes.
//!
//! In: bytes. Out: 32 bytes, or their base64. Invariant: a leaf hash is never a node hash, because the prefixes
//! differ; without that, two nodes could be passed off as a leaf. It must not know what a leaf says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The hash of a leaf: SHA-256(0x00 || bytes), RFC 9162 section 2.1.1.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0x00]);
    hash.update(bytes);
    hash.finalize().into()
}

/// The hash of a node: SHA-256(0x01 || left || right), RFC 9162 section 2.1.1.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // One buffer and one call: everything in this room spends its time here.
    let mut bytes = [0x01; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// The root of a tree without leaves: SHA-256 of nothing, RFC 9162 section 2.1.1.
pub fn empty_root() -> Hash {
    Sha256::digest(b"").into()
}

/// SHA-256 of a text, in hexadecimal.
pub fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    write_hex(bytes, &mut text);
    text
}

/// Appends the lower-case hexadecimal digits of `bytes` to `text`.
pub fn write_hex(bytes: &[u8], text: &mut String) {
    // The frame of a review writes millions of them, and the formatter would take most of that time.
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
}

/// A hash in base64: standard alphabet, padded (RFC 4648 section 4); 44 characters.
pub fn to_base64(hash: &Hash) -> String {
    BASE64.encode(hash)
}

/// The hash that [`to_base64`] wrote.
///
/// # Errors
///
/// `Damaged` for anything but the one spelling of 32 bytes: other lengths, other alphabets, missing padding, unused
/// bits that are not zero.
pub fn from_base64(text: &str) -> Result<Hash> {
    match BASE64.decode(text).map(Hash::try_from) {
        Ok(Ok(hash)) => Ok(hash),
        _ => Err(Error::damaged(format!(
            "hash of {} characters is not the base64 of 32 bytes; expected 44 characters of the standard alphabet \
             with padding",
            text.chars().count()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_one_spelling() {
        let text = to_base64(&empty_root());
        assert_eq!(text, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(from_base64(&text).unwrap(), empty_root());
        let url_safe = text.replace('+', "-").replace('/', "_");
        let unused_bits = text.replace("FU=", "FV=");
        let [no_padding, short] = [43, 40].map(|end| text[..end].to_owned());
        let [line_end, space] = [format!("{text}\n"), format!(" {text}")];
        for wrong in [no_padding, short, line_end, space, url_safe, unused_bits, String::new()] {
            assert!(from_base64(&wrong).is_err(), "{wrong:?}");
        }
    }
}
