//! TLS: certificate and key from PEM files.
//!
//! In: two files. Out: an acceptor of TLS 1.2 and 1.3. Invariant: what a file holds is in no message.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Result};

/// An acceptor with the certificate chain in `cert` and its private key in `key`.
///
/// # Errors
/// Invalid when a file cannot be read, is no PEM, or the two do not belong together.
pub fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(cert).and_then(|found| found.collect::<std::result::Result<Vec<_>, _>>());
    let chain = chain.map_err(|e| unreadable("certificate", cert, e))?;
    if chain.is_empty() {
        return Err(Error::invalid(format!("{} holds no certificate; give a PEM file with one", cert.display())));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable("private key", key, e))?;
    let unusable = |e: tokio_rustls::rustls::Error| {
        Error::invalid("the certificate and the private key cannot be used together").because(e)
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What is wrong with a PEM file. The reader's own message may hold a line of it, so only that of the system is passed on.
fn unreadable(what: &str, file: &Path, err: pem::Error) -> Error {
    let told = Error::invalid(format!("cannot read the {what} {}; give a PEM file that holds it", file.display()));
    match err {
        pem::Error::Io(e) => told.because(e),
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_key_is_refused_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        std::fs::write(&file, "-----BEGIN SECRETWORD\nSECRETWORD\n").unwrap();
        for (cert, key) in [(file.clone(), file.clone()), (folder.path().join("none"), file.clone())] {
            let Err(e) = acceptor(&cert, &key) else { panic!("accepted") };
            assert!(!e.to_string().contains("SECRETWORD"), "{e}");
        }
    }
}
