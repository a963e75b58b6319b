//! Asking a witness over HTTP to cosign a checkpoint.
//!
//! In: where the witness is, its public key, a signed checkpoint, and whoever makes consistency proofs. Out: its
//! cosignature. Invariants: no cosignature is accepted that does not verify under the witness's key over this
//! checkpoint; an answer is bounded in bytes and time; redirects are not followed. It must not believe anything else
//! that a witness says: words of it are quoted, its size only tells where a proof is to begin.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::cosignature;
use crate::ledger::hash::Hash;
use crate::ledger::note::{Kind, Note, Signature, Verifier};
use crate::ledger::witness::{Request, SIZE_TYPE, TEXT_TYPE};
use crate::limits::{WITNESS_ANSWER_BYTES, WITNESS_CONNECT_SECONDS, WITNESS_SECONDS};

/// Requests at most: one to learn where the witness is, one more in case others ask it meanwhile.
const ATTEMPTS: usize = 3;
/// Characters of a witness's own words that are repeated.
const QUOTED_CHARS: usize = 200;

/// One witness, to be asked.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    key: Verifier,
}

/// A cosignature that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The signature line.
    pub signature: Signature,
    /// When the witness saw the checkpoint, in seconds since 1970.
    pub time: u64,
}

/// What came back.
struct Reply {
    status: StatusCode,
    content_type: String,
    body: Vec<u8>,
}

impl Client {
    /// The witness with this key at `url`, the prefix that `/add-checkpoint` is added to.
    ///
    /// # Errors
    /// Invalid when the URL is not one of http or https without user and query, or the key is not that of a witness.
    pub fn new(url: &str, key: &Verifier) -> Result<Self> {
        if key.kind() != Kind::Cosignature {
            let name = key.name();
            return Err(Error::invalid(format!("key `{name}` is not that of a witness; give one of type 0x04")));
        }
        let url = endpoint(url)?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(WITNESS_CONNECT_SECONDS))
            .timeout(Duration::from_secs(WITNESS_SECONDS))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("probity/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // Not asked for the roots of a machine that has none.
            builder = builder.tls_certs_only([]);
        }
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| Error::unavailable("cannot make ready for HTTP").because(e))?;
        Ok(Self { http, url, key: key.clone() })
    }

    /// The public key of the witness.
    pub fn key(&self) -> &Verifier {
        &self.key
    }

    /// Asks for a cosignature of the signed checkpoint `note`; `proof` makes the consistency proof from a size that is
    /// not larger.
    ///
    /// # Errors
    /// Damaged when the witness has seen a larger tree or another one, or its cosignature does not verify; Unavailable
    /// when it does not answer or fails; Invalid when it refuses for another reason; what `proof` gives.
    pub async fn cosign<F, P>(&self, note: &str, proof: F) -> Result<Given>
    where
        F: Fn(u64) -> P,
        P: Future<Output = Result<Vec<Hash>>>,
    {
        let text = Note::parse(note.as_bytes())?.text;
        let size = Checkpoint::parse(&text)?.size;
        // It knows better than anybody here which size it cosigned last, and says so.
        let mut old = 0;
        for _ in 0..ATTEMPTS {
            let request = Request { old, proof: proof(old).await?, checkpoint: note.to_owned() };
            let reply = self.post(request.to_text()).await?;
            match reply.size() {
                None if reply.status == StatusCode::OK => return self.verified(&text, &reply),
                None => return Err(self.refused(&reply)),
                Some(seen) if seen > size => {
                    return Err(Error::damaged(format!(
                        "{}: the witness has seen a larger tree of {seen} events, and the newest checkpoint here is over \
                         {size}: this store was rolled back, or another one is signed with its key; find out which",
                        self.url
                    )));
                }
                Some(seen) => old = seen,
            }
        }
        let url = &self.url;
        Err(Error::new(ErrorKind::Conflict, format!("{url}: others ask the witness all the time; try again")))
    }

    async fn post(&self, body: String) -> Result<Reply> {
        let sent = self.http.post(self.url.clone()).header(CONTENT_TYPE, TEXT_TYPE).body(body).send().await;
        let mut response = sent.map_err(|e| self.unreached(e))?;
        let body = self.body_of(&mut response).await?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        Ok(Reply { status: response.status(), content_type, body })
    }

    async fn body_of(&self, response: &mut Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreached(e))? {
            if body.len() + chunk.len() > WITNESS_ANSWER_BYTES {
                return Err(Error::limit(format!(
                    "{}: the answer is larger than {WITNESS_ANSWER_BYTES} bytes; this is no witness",
                    self.url
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The cosignature in the answer; lines of other keys are passed over.
    fn verified(&self, text: &str, reply: &Reply) -> Result<Given> {
        let damaged = |reason: &str| Error::damaged(format!("{}: {reason}", self.url));
        let lines = std::str::from_utf8(&reply.body).map_err(|_| damaged("the cosignature is no text"))?;
        let signatures = lines.lines().map(Signature::parse).collect::<Result<Vec<_>>>();
        let signatures = signatures
            .map_err(|e| damaged("the answer is not made of signature lines; this is no witness").because(e))?;
        let by_it = signatures.into_iter().find(|signature| signature.is_by(&self.key));
        let signature = by_it.ok_or_else(|| {
            damaged(&format!("the answer holds no cosignature by {}+{:08x}", self.key.name(), self.key.id()))
        })?;
        let time = cosignature::verify(&self.key, text, &signature)
            .map_err(|e| damaged("the cosignature does not verify and is not accepted").because(e))?;
        Ok(Given { signature, time })
    }

    /// What a refusal means here.
    fn refused(&self, reply: &Reply) -> Error {
        let status = reply.status;
        let kind = match status.as_u16() {
            409 | 422 => ErrorKind::Damaged,
            429 | 500.. => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        };
        Error::new(kind, format!("{}: the witness answers {status}: {}", self.url, reply.words()))
    }

    fn unreached(&self, cause: reqwest::Error) -> Error {
        let reason = if cause.is_timeout() { "the witness did not answer in time" } else { "cannot ask the witness" };
        Error::unavailable(format!("{}: {reason}", self.url)).because(cause.without_url())
    }
}

impl Reply {
    /// The size that the witness says it cosigned last.
    fn size(&self) -> Option<u64> {
        let content_type = self.content_type.split(';').next().unwrap_or_default().trim();
        if self.status != StatusCode::CONFLICT || content_type != SIZE_TYPE {
            return None;
        }
        std::str::from_utf8(&self.body).ok()?.trim_end_matches('\n').parse().ok()
    }

    /// What the witness says, in one line that does nothing to a terminal.
    fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let plain: String = text.trim().chars().filter(|c| !c.is_control()).take(QUOTED_CHARS).collect();
        if plain.is_empty() { "nothing more".to_owned() } else { plain }
    }
}

/// Where requests go.
fn endpoint(prefix: &str) -> Result<Url> {
    // A URL that cannot be used is not repeated: it may hold a password.
    let unusable =
        || Error::invalid("the URL of a witness is not http:// or https:// with a host, without user and query");
    let url = Url::parse(&format!("{}/add-checkpoint", prefix.trim_end_matches('/'))).map_err(|_| unusable())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none();
    if is_plain && is_web { Ok(url) } else { Err(unusable()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::note::Signer;

    #[test]
    fn only_a_plain_web_address_is_asked() {
        let key = Signer::new("example.com/witness", [1; 32]).unwrap().verifier(Kind::Cosignature);
        for url in ["http://127.0.0.1:7391", "https://witness.example.com/prefix/"] {
            let client = Client::new(url, &key).unwrap();
            assert!(client.url.as_str().ends_with("/add-checkpoint"), "{}", client.url);
            assert!(!client.url.path().contains("//"), "{}", client.url);
        }
        for url in
            ["", "witness.example.com", "ftp://x", "https://me:secret@x", "https://x?y=z", "https://x#y", "file:///x"]
        {
            let message = Client::new(url, &key).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
        let log = Signer::new("example.com/log", [1; 32]).unwrap().verifier(Kind::Ed25519);
        assert!(Client::new("http://127.0.0.1", &log).is_err());
    }

    #[test]
    fn words_of_a_witness_do_nothing_to_a_terminal() {
        let reply = |body: &[u8]| Reply {
            status: StatusCode::CONFLICT,
            content_type: "text/x.tlog.size; charset=utf-8".into(),
            body: body.to_vec(),
        };
        assert_eq!(reply(b"\x1b[31mred\r\nline\xff\n").words(), "[31mredline\u{fffd}");
        assert_eq!(reply(&[b'x'; 9_000]).words().len(), QUOTED_CHARS);
        assert_eq!((reply(b"17\n").size(), reply(b"-1\n").size(), reply(b"many").size()), (Some(17), None, None));
    }
}
