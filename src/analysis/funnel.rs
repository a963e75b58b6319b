//! Reviewers against their peers: who approves more, or less, than chance explains.
//!
//! In: per reviewer the approvals and the decisions. Out: per reviewer the rate of all others and how rare the
//! reviewer's own number is at that rate. Invariant: a reviewer without peers or decisions has no answer. Pure.

use super::spc::are_counts;
use super::tails::Binomial;

/// One reviewer against all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Approvals / decisions of all others.
    pub peer_rate: f64,
    /// P(this many approvals or more) at the rate of the others.
    pub p_high: f64,
    /// P(this many approvals or fewer) at the rate of the others.
    pub p_low: f64,
    /// P(more approvals) + P(just as many) / 2.
    pub mid_p_high: f64,
    /// The 2.5 % and the 97.5 % quantile of the approvals at the rate of the others.
    pub funnel: (i64, i64),
}

/// Each reviewer against the others; `None` unless as many `approved` as `decided` and 0 <= approved <= decided.
pub fn peers(approved: &[i64], decided: &[i64]) -> Option<Vec<Option<Peer>>> {
    if !are_counts(approved, decided) {
        return None;
    }
    let total = |counts: &[i64]| counts.iter().map(|count| i128::from(*count)).sum::<i128>();
    let (all_approved, all_decided) = (total(approved), total(decided));
    let compare = |(k, n): (&i64, &i64)| {
        let (others, trials) = (all_approved - i128::from(*k), all_decided - i128::from(*n));
        if *n > 0 && trials > 0 { peer(*k, *n, others as f64 / trials as f64) } else { None }
    };
    Some(approved.iter().zip(decided).map(compare).collect())
}

fn peer(k: i64, n: i64, peer_rate: f64) -> Option<Peer> {
    let draw = Binomial::new(n, peer_rate)?;
    Some(Peer {
        peer_rate,
        p_high: draw.high(k),
        p_low: draw.low(k),
        mid_p_high: draw.high(k + 1) + draw.point(k) / 2.0,
        funnel: (draw.quantile(0.025)?, draw.quantile(0.975)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::binomial::upper_bound;
    use crate::analysis::testing::{assert_close, cases, int};

    #[test]
    fn reviewers_stand_to_their_peers_as_in_scipy() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/reviewer_funnel.json"), "cases");
        assert!(vectors.len() >= 7);
        for case in vectors {
            let rate = case["peer_rate"].as_f64().unwrap();
            let got = peer(int(&case["approved"]), int(&case["n"]), rate).unwrap();
            let name = case["reviewer"].as_str().unwrap();
            assert_close(Some(got.p_high), &case["p_high"], 1e-11, name);
            assert_close(Some(got.p_low), &case["p_low"], 1e-11, name);
            assert_close(Some(got.mid_p_high), &case["mid_p_high"], 1e-11, name);
            assert_close(Some(got.funnel.0 as f64), &case["funnel_95"][0], 0.0, name);
            assert_close(Some(got.funnel.1 as f64), &case["funnel_95"][1], 0.0, name);
            for (i, planted) in [1, 5, 10, 20].into_iter().enumerate() {
                let want = &case["canary_zero_detect_upper95"][i];
                assert_close(upper_bound(0, planted, 0.05), want, 1e-12, "planted errors");
            }
        }
    }

    #[test]
    fn the_rate_of_the_others_leaves_the_reviewer_out() {
        let got = peers(&[45, 199, 0], &[50, 200, 0]).unwrap();
        assert_eq!(got[0].as_ref().unwrap().peer_rate, 199.0 / 200.0);
        assert_eq!(got[1].as_ref().unwrap().peer_rate, 45.0 / 50.0);
        assert_eq!(got[2], None);
    }

    #[test]
    fn without_peers_there_is_no_comparison() {
        assert_eq!(peers(&[3], &[4]), Some(vec![None]));
        assert_eq!(peers(&[5], &[4]), None);
        assert_eq!(peers(&[], &[]), Some(Vec::new()));
    }
}
