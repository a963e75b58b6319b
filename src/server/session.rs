//! Sessions of the pages, and the bound on attempts to begin one.
//!
//! In: a token that was admitted, a cookie. Out: what a cookie stands for. Invariants: sessions live in memory only and
//! end with the server; a cookie is kept as its hash; a session is no more than its token, which is looked at again on
//! every request. It must not decide what anybody may do.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::lock;
use crate::clock::{Clock, HOUR, Micros, SECOND};
use crate::error::{Error, Result};
use crate::limits::{
    LOGIN_ATTEMPTS, LOGIN_PEERS, LOGIN_WINDOW_SECONDS, SESSION_HOURS, SESSIONS_A_TOKEN, SESSIONS_KEPT,
};

/// Name of the cookie; with TLS its name makes browsers hold it to this host.
const COOKIE: &str = "probity_session";
const TLS_COOKIE: &str = "__Host-probity_session";

/// What a cookie stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Tenant of the token.
    pub(super) tenant: String,
    /// Id of the token.
    pub(super) token_id: String,
    /// What every form of the session carries.
    pub(super) csrf: String,
    expires_at: Micros,
}

/// The sessions that are open.
#[derive(Debug)]
pub(super) struct Sessions {
    clock: Clock,
    open: Mutex<HashMap<[u8; 32], Session>>,
}

impl Sessions {
    /// None is open yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, open: Mutex::default() }
    }

    /// Opens a session for the holder of a token; gives the value of its cookie. A token that has many open loses the
    /// oldest of them: its holder cannot take the places of others.
    ///
    /// # Errors
    /// Limit when too many are open.
    pub(super) fn open(&self, tenant: &str, token_id: &str) -> Result<String> {
        let now = self.clock.now();
        let mut open = lock(&self.open);
        let is_its = |session: &Session| session.tenant == tenant && session.token_id == token_id;
        let its = open.iter().filter(|(_, session)| is_its(session));
        if its.clone().count() >= SESSIONS_A_TOKEN
            && let Some(oldest) = its.min_by_key(|(_, session)| session.expires_at).map(|(key, _)| *key)
        {
            open.remove(&oldest);
        }
        if open.len() >= SESSIONS_KEPT {
            open.retain(|_, session| session.expires_at > now);
        }
        if open.len() >= SESSIONS_KEPT {
            return Err(Error::limit(format!("{SESSIONS_KEPT} sessions are open; log out of one, or try again later")));
        }
        let value = secret(&self.clock);
        let (tenant, token_id, csrf) = (tenant.to_owned(), token_id.to_owned(), secret(&self.clock));
        let expires_at = now + SESSION_HOURS * HOUR;
        open.insert(hash(&value), Session { tenant, token_id, csrf, expires_at });
        Ok(value)
    }

    /// The session of a cookie, if it is open.
    pub(super) fn find(&self, value: &str) -> Option<Session> {
        let mut open = lock(&self.open);
        let key = hash(value);
        let session = open.get(&key)?;
        if session.expires_at <= self.clock.now() {
            open.remove(&key);
            return None;
        }
        Some(session.clone())
    }

    /// Ends a session.
    pub(super) fn close(&self, value: &str) {
        lock(&self.open).remove(&hash(value));
    }
}

/// The value of the session's cookie among those that a browser sends.
pub(super) fn cookie_in(header: &str, is_tls: bool) -> Option<&str> {
    let wanted = if is_tls { TLS_COOKIE } else { COOKIE };
    let mut named = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    named.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// The header that gives a browser its cookie.
pub(super) fn set_cookie(value: &str, is_tls: bool) -> String {
    let seconds = SESSION_HOURS * HOUR / SECOND;
    cookie(value, seconds, is_tls)
}

/// The header that takes it away.
pub(super) fn clear_cookie(is_tls: bool) -> String {
    cookie("", 0, is_tls)
}

fn cookie(value: &str, seconds: i64, is_tls: bool) -> String {
    let (name, secure) = if is_tls { (TLS_COOKIE, "; Secure") } else { (COOKIE, "") };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

/// Attempts to log in, by peer.
#[derive(Debug)]
pub(super) struct Logins {
    clock: Clock,
    peers: Mutex<HashMap<IpAddr, Attempts>>,
}

#[derive(Debug, Clone, Copy)]
struct Attempts {
    since: Micros,
    count: u32,
}

impl Logins {
    /// Nobody has tried yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, peers: Mutex::default() }
    }

    /// Counts an attempt of `peer` before it is looked at; gives the seconds to wait when there were too many.
    pub(super) fn attempt(&self, peer: IpAddr) -> std::result::Result<(), u32> {
        let (now, window) = (self.clock.now(), LOGIN_WINDOW_SECONDS * SECOND);
        let peer = network(peer);
        let mut peers = lock(&self.peers);
        if peers.len() >= LOGIN_PEERS {
            peers.retain(|_, attempts| now - attempts.since < window);
        }
        if peers.len() >= LOGIN_PEERS && !peers.contains_key(&peer) {
            return Err(wait(window));
        }
        let attempts = peers.entry(peer).or_insert(Attempts { since: now, count: 0 });
        if now - attempts.since >= window {
            *attempts = Attempts { since: now, count: 0 };
        }
        if attempts.count >= LOGIN_ATTEMPTS {
            return Err(wait(window - (now - attempts.since)));
        }
        attempts.count += 1;
        Ok(())
    }

    /// Forgets the attempts of `peer`, who is known now.
    pub(super) fn succeeded(&self, peer: IpAddr) {
        lock(&self.peers).remove(&network(peer));
    }
}

/// Whose attempts are counted together: one IPv4 address, or the 64 bits of IPv6 that one customer has, who could try
/// from as many addresses as there are attempts otherwise.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

fn wait(micros: Micros) -> u32 {
    u32::try_from(micros / SECOND + 1).unwrap_or(u32::MAX)
}

fn secret(clock: &Clock) -> String {
    URL_SAFE_NO_PAD.encode(clock.random::<32>())
}

fn hash(value: &str) -> [u8; 32] {
    Sha256::digest(value.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_after_its_hours_or_when_it_is_closed() {
        let clock = Clock::simulated(0, 7);
        let sessions = Sessions::new(clock.clone());
        let (a, b) = (sessions.open("t", "1").unwrap(), sessions.open("t", "2").unwrap());
        assert_ne!(a, b);
        assert_ne!(sessions.find(&a).unwrap().csrf, sessions.find(&b).unwrap().csrf);
        assert_eq!(sessions.find("x"), None);
        sessions.close(&a);
        assert_eq!(sessions.find(&a), None);
        clock.set(SESSION_HOURS * HOUR - 1);
        assert_eq!(sessions.find(&b).map(|session| session.token_id), Some("2".to_owned()));
        clock.set(SESSION_HOURS * HOUR);
        assert_eq!(sessions.find(&b), None);
    }

    #[test]
    fn a_token_takes_no_more_than_its_share_of_the_sessions() {
        let clock = Clock::simulated(0, 7);
        let sessions = Sessions::new(clock.clone());
        let other = sessions.open("t", "other").unwrap();
        let of_it: Vec<String> = (0..SESSIONS_A_TOKEN + 2)
            .map(|i| {
                clock.set(i as i64 + 1);
                sessions.open("t", "one").unwrap()
            })
            .collect();
        let is_open: Vec<bool> = of_it.iter().map(|value| sessions.find(value).is_some()).collect();
        assert_eq!(is_open.iter().filter(|is_open| **is_open).count(), SESSIONS_A_TOKEN);
        assert_eq!(is_open[..3], [false, false, true]);
        assert!(sessions.find(&other).is_some());
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let header = "a=1; xprobity_session=2; probity_session=3; __Host-probity_session=4";
        assert_eq!(cookie_in(header, false), Some("3"));
        assert_eq!(cookie_in(header, true), Some("4"));
        assert_eq!(cookie_in("probity_sessions=3", false), None);
        assert!(set_cookie("v", true).starts_with("__Host-probity_session=v; Path=/; HttpOnly; SameSite=Strict"));
        assert!(set_cookie("v", true).ends_with("; Secure") && !set_cookie("v", false).contains("Secure"));
    }

    #[test]
    fn a_peer_has_so_many_attempts_in_a_window_and_others_are_not_concerned() {
        let clock = Clock::fixed(0);
        let logins = Logins::new(clock.clone());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!((0..LOGIN_ATTEMPTS).all(|_| logins.attempt(one).is_ok()));
        assert_eq!(logins.attempt(one), Err(LOGIN_WINDOW_SECONDS as u32 + 1));
        assert_eq!(logins.attempt(other), Ok(()));
        clock.set(LOGIN_WINDOW_SECONDS * SECOND);
        assert_eq!(logins.attempt(one), Ok(()));
        logins.succeeded(one);
        assert!((0..LOGIN_ATTEMPTS).all(|_| logins.attempt(one).is_ok()));
    }

    #[test]
    fn addresses_that_one_customer_has_count_as_one_peer() {
        let logins = Logins::new(Clock::fixed(0));
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let tries = |i: u32| logins.attempt(of(&format!("2001:db8:0:1::{i:x}")));
        assert!((0..LOGIN_ATTEMPTS).all(|i| tries(i).is_ok()));
        assert!(tries(LOGIN_ATTEMPTS).is_err());
        assert!(logins.attempt(of("2001:db8:0:2::1")).is_ok());
        assert_eq!(network(of("::ffff:10.0.0.1")), of("10.0.0.1"));
    }
}
