//! Arithmetic that SQL cannot state well.
//!
//! In: numbers and slices. Out: numbers and plain structs; what is undefined is `None`, never NaN or infinity.
//! Pure: no I/O, no clock, no knowledge of events; every result is checked against values computed elsewhere.

pub mod agreement;
pub mod betting;
pub mod binomial;
pub mod calibration;
pub mod eprocess;
pub mod evidence;
pub mod fairness;
pub mod fixed;
pub mod fraction;
pub mod funnel;
pub mod hypergeometric;
pub mod multiple;
pub mod natural;
pub mod normal;
pub mod number;
pub mod planted;
pub mod points;
pub mod sampler;
pub mod sequential;
pub mod spc;
pub mod strata;
pub mod tails;
pub mod wilson;

/// The point where `is_left` turns from true to false, by halving until the two ends are neighbours.
fn bisect(mut left: f64, mut right: f64, is_left: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = left + (right - left) / 2.0;
        if middle <= left || middle >= right {
            return middle;
        }
        if is_left(middle) {
            left = middle;
        } else {
            right = middle;
        }
    }
}

/// Reading the vectors of `tests/fixtures/stats/`.
#[cfg(test)]
mod testing {
    use serde_json::Value;

    pub fn cases(text: &str, list: &str) -> Vec<Value> {
        let vectors: Value = serde_json::from_str(text).unwrap();
        vectors[list].as_array().unwrap().clone()
    }

    pub fn int(value: &Value) -> i64 {
        value.as_i64().unwrap_or_else(|| panic!("{value} is no integer"))
    }

    pub fn number(value: &Value) -> f64 {
        value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
    }

    pub fn ints(value: &Value) -> Vec<i64> {
        value.as_array().unwrap().iter().map(int).collect()
    }

    pub fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(number).collect()
    }

    /// `got` is `want` but for `relative` of it (and 1e-15 at zero); null stands for `None`.
    pub fn assert_close(got: Option<f64>, want: &Value, relative: f64, what: &str) {
        match (got, want.as_f64()) {
            (None, None) => {}
            (Some(got), Some(want)) => {
                assert!((got - want).abs() <= relative * want.abs() + 1e-15, "{what}: {got:e}, expected {want:e}")
            }
            _ => panic!("{what}: {got:?}, expected {want}"),
        }
    }
}
