//! Cosignatures: what a witness says about a checkpoint, C2SP tlog-cosignature with Ed25519.
//!
//! In: a key, a time, the text of a checkpoint. Out: a signature line, or the time that one states. The statement
//! is: at that time this was the largest tree of that log which the witness had seen, and it agreed with all before.
//! Invariant: what is signed begins with `cosignature/v1`, so that it is never the text of a checkpoint. It must not
//! decide whether to sign, nor read the clock.

use super::note::{Kind, Signature, Signer, Verifier};
use crate::error::{Error, Result};

/// The signature line by which `signer` cosigns the text of a checkpoint at `time`, in seconds since 1970, with its
/// line end.
pub fn cosign(signer: &Signer, time: u64, checkpoint_text: &str) -> String {
    let message = message(time, checkpoint_text);
    signer.sign_message(Kind::Cosignature, &time.to_be_bytes(), message.as_bytes())
}

/// The public key of a witness as text: type 0x04.
pub fn vkey(signer: &Signer) -> String {
    signer.verifier(Kind::Cosignature).to_string()
}

/// Checks a cosignature over the text of a checkpoint and returns its time, in seconds since 1970.
///
/// # Errors
///
/// `Invalid` when the key is not that of a witness, `Damaged` when the signature is not by it over this text and its
/// own time.
pub fn verify(key: &Verifier, checkpoint_text: &str, signature: &Signature) -> Result<u64> {
    if key.kind() != Kind::Cosignature {
        return Err(Error::invalid(format!("key `{}` is not that of a witness; give one of type 0x04", key.name())));
    }
    let Some((time, ed25519)) = signature.bytes.split_first_chunk::<8>() else {
        return Err(Error::damaged(format!(
            "cosignature by `{}` has {} bytes, expected 72",
            key.name(),
            signature.bytes.len()
        )));
    };
    let time = u64::from_be_bytes(*time);
    if i64::try_from(time).is_err() {
        return Err(Error::damaged(format!("cosignature by `{}` has a time past 2^63 - 1 seconds", key.name())));
    }
    key.verify_message(message(time, checkpoint_text).as_bytes(), signature, ed25519)?;
    Ok(time)
}

/// What is signed: a header, the time, the whole text of the checkpoint.
fn message(time: u64, checkpoint_text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{checkpoint_text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::note::Note;

    #[test]
    fn a_cosignature_binds_its_time_and_the_checkpoint() {
        let witness = Signer::new("example.com/witness", [9; 32]).unwrap();
        let key = Verifier::parse(&vkey(&witness)).unwrap();
        let text = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        let note = Note::parse(format!("{text}\n{}", cosign(&witness, 1_700_000_000, text)).as_bytes()).unwrap();
        assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [&key]);
        let signature = &note.signatures[0];
        assert_eq!(verify(&key, text, signature).unwrap(), 1_700_000_000);
        assert!(verify(&key, &text.replace("\n0\n", "\n1\n"), signature).is_err());
        assert!(verify(&witness.verifier(Kind::Ed25519), text, signature).is_err());
        for at in 0..signature.bytes.len() {
            let mut changed = signature.clone();
            changed.bytes[at] ^= 1;
            assert!(verify(&key, text, &changed).is_err(), "byte {at}");
        }
    }
}
