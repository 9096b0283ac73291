//! Clebsch-Gordan coefficients of real spherical harmonics.
//!
//! With complex harmonics, Racah's sum can be written with binomials only,
//!
//! `<l1 m1; l2 m2 | l m> = p sum_k (-1)^k C(a, k) C(b, l1 - m1 - k) C(c, l2 + m2 - k)`,
//! `p^2 = (2l + 1) C(2 l1, a) C(2 l2, a) / ((J + 1) C(J, a) C(2 l1, l1 - m1) C(2 l2, l2 - m2) C(2 l, l - m))`,
//!
//! with `J = l1 + l2 + l`, `a = J - 2l`, `b = J - 2 l2`, `c = J - 2 l1`. The alternating sum, the only place where digits
//! could be lost, is one of integers and exact in `i128` up to [`MAX_DEGREE`]; the rest is a product of a few rounded
//! numbers. The real ones follow by `Y^C = U Y^R`, taking the real part where l1 + l2 + l is even and the imaginary part
//! where it is odd: they are orthonormal, and `<l m; l m | 0 0> = (-1)^l / sqrt(2l + 1)`.

/// Largest degree of any of the three; beyond it the sum could leave 128 bits.
pub const MAX_DEGREE: usize = 40;

/// A coefficient that is not zero. Orders m count from 0: m = -l stands at 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficient {
    /// Order of the first factor.
    pub m1: usize,
    /// Order of the second factor.
    pub m2: usize,
    /// Order of the product.
    pub mu: usize,
    /// `<l1 m1; l2 m2 | lambda mu>`
    pub value: f64,
}

/// What is left of exact cancellation; the smallest true coefficient is far above it.
const ZERO: f64 = 1e-15;

/// Makes tables of coefficients; holds the binomials they are made of.
#[derive(Debug, Clone)]
pub struct ClebschGordan {
    max_degree: usize,
    /// Pascal's triangle, row by row.
    binomials: Vec<Vec<i128>>,
}

impl ClebschGordan {
    /// For degrees up to `max_degree`.
    ///
    /// # Panics
    /// If that is above [`MAX_DEGREE`].
    #[must_use]
    pub fn new(max_degree: usize) -> Self {
        assert!(max_degree <= MAX_DEGREE, "degrees up to {MAX_DEGREE} only");
        let mut binomials = vec![vec![1_i128]];
        for n in 1..=3 * max_degree {
            let above = &binomials[n - 1];
            let row = (0..=n).map(|k| if k == 0 || k == n { 1 } else { above[k - 1] + above[k] }).collect();
            binomials.push(row);
        }
        Self { max_degree, binomials }
    }

    /// The coefficients of degrees l1, l2 and lambda that are not zero, by rising mu, then m1, then m2.
    ///
    /// # Panics
    /// If a degree is above that of [`ClebschGordan::new`].
    #[must_use]
    pub fn real(&self, l1: usize, l2: usize, lambda: usize) -> Vec<Coefficient> {
        assert!(l1.max(l2).max(lambda) <= self.max_degree, "degrees up to {} only", self.max_degree);
        if lambda > l1 + l2 || lambda < l1.abs_diff(l2) {
            return Vec::new();
        }
        let complex = self.complex_table(l1, l2, lambda);
        let odd = (l1 + l2 + lambda) % 2 == 1;
        let mut coefficients = Vec::new();
        for m1 in 0..=2 * l1 {
            for m2 in 0..=2 * l2 {
                let (first, second) = (m1 as i64 - l1 as i64, m2 as i64 - l2 as i64);
                for (mu, value) in rotate(first, second, lambda, odd, |a, b| {
                    complex[(a + l1 as i64) as usize * (2 * l2 + 1) + (b + l2 as i64) as usize]
                }) {
                    coefficients.push(Coefficient { m1, m2, mu, value });
                }
            }
        }
        coefficients.sort_by_key(|c| (c.mu, c.m1, c.m2));
        coefficients
    }

    /// `<l1 m1; l2 m2 | lambda (m1 + m2)>` of complex harmonics. [m1, m2]
    fn complex_table(&self, l1: usize, l2: usize, lambda: usize) -> Vec<f64> {
        let (n1, n2) = (2 * l1 + 1, 2 * l2 + 1);
        let mut table = vec![0.0; n1 * n2];
        // Reversing all orders changes the sign by the parity of l1 + l2 + lambda.
        let sign = if (l1 + l2 + lambda).is_multiple_of(2) { 1.0 } else { -1.0 };
        for place in 0..(n1 * n2).div_ceil(2) {
            let (m1, m2) = ((place / n2) as i64 - l1 as i64, (place % n2) as i64 - l2 as i64);
            let value = self.complex(l1, l2, lambda, m1, m2);
            table[n1 * n2 - 1 - place] = sign * value;
            table[place] = value;
        }
        table
    }

    fn complex(&self, l1: usize, l2: usize, lambda: usize, m1: i64, m2: i64) -> f64 {
        let mu = m1 + m2;
        if mu.unsigned_abs() as usize > lambda {
            return 0.0;
        }
        let j = l1 + l2 + lambda;
        let (a, b, c) = (j - 2 * lambda, j - 2 * l2, j - 2 * l1);
        let down1 = (l1 as i64 - m1) as usize;
        let up2 = (l2 as i64 + m2) as usize;
        let mut sum = 0_i128;
        for k in 0..=a.min(down1).min(up2) {
            if down1 - k <= b && up2 - k <= c {
                let term = self.binomials[a][k] * self.binomials[b][down1 - k] * self.binomials[c][up2 - k];
                sum += if k % 2 == 0 { term } else { -term };
            }
        }
        let choose = |n: usize, k: usize| self.binomials[n][k] as f64;
        let above = (2 * lambda + 1) as f64 * choose(2 * l1, a) * choose(2 * l2, a);
        let orders = choose(2 * l1, down1) * choose(2 * l2, up2);
        let below =
            (j + 1) as f64 * choose(j, a) * orders * choose(2 * lambda, (lambda as i64 - mu) as usize);
        sum as f64 * (above / below).sqrt()
    }
}

/// The component of the complex harmonic of order `complex` on the real one of order `real`, of the same |m|: (Re, Im).
fn component(complex: i64, real: i64) -> (f64, f64) {
    use std::f64::consts::FRAC_1_SQRT_2 as R;
    if complex == 0 {
        return (1.0, 0.0);
    }
    let sign = if complex > 0 && complex % 2 != 0 { -R } else { R };
    match (real > 0, complex > 0) {
        (true, _) => (sign, 0.0),
        (false, true) => (0.0, sign),
        (false, false) => (0.0, -sign),
    }
}

fn times(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

/// The real coefficients of two real orders, as (place of mu, value).
fn rotate(
    m1: i64,
    m2: i64,
    lambda: usize,
    odd: bool,
    complex: impl Fn(i64, i64) -> f64,
) -> Vec<(usize, f64)> {
    let signs = |m: i64| if m == 0 { vec![0] } else { vec![m, -m] };
    let mut found: Vec<(usize, f64)> = Vec::with_capacity(4);
    for a in signs(m1) {
        for b in signs(m2) {
            if (a + b).unsigned_abs() as usize > lambda {
                continue;
            }
            let factor = times(component(a, m1), component(b, m2));
            for mu in signs(a + b) {
                let (re, im) = component(a + b, mu);
                let (re, im) = times(factor, (re, -im));
                let value = complex(a, b) * if odd { im } else { re };
                let place = (mu + lambda as i64) as usize;
                match found.iter_mut().find(|(p, _)| *p == place) {
                    Some((_, sum)) => *sum += value,
                    None => found.push((place, value)),
                }
            }
        }
    }
    found.retain(|(_, value)| value.abs() > ZERO);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(tables: &ClebschGordan, l1: usize, l2: usize, lambda: usize) -> Vec<f64> {
        let (n2, n) = (2 * l2 + 1, 2 * lambda + 1);
        let mut dense = vec![0.0; (2 * l1 + 1) * n2 * n];
        for c in tables.real(l1, l2, lambda) {
            dense[(c.m1 * n2 + c.m2) * n + c.mu] = c.value;
        }
        dense
    }

    #[test]
    fn coefficients_are_orthonormal() {
        let tables = ClebschGordan::new(24);
        for (l1, l2) in [(0_usize, 0), (1, 2), (3, 3), (5, 4), (12, 7), (12, 12)] {
            let n = (2 * l1 + 1) * (2 * l2 + 1);
            let columns: Vec<Vec<f64>> = (l1.abs_diff(l2)..=l1 + l2)
                .flat_map(|lambda| {
                    let table = dense(&tables, l1, l2, lambda);
                    let width = 2 * lambda + 1;
                    (0..width).map(move |mu| (0..n).map(|row| table[row * width + mu]).collect())
                })
                .collect();
            assert_eq!(columns.len(), n);
            for (i, a) in columns.iter().enumerate() {
                for (j, b) in columns.iter().enumerate().skip(i) {
                    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-14, "l1 {l1} l2 {l2}: columns {i}, {j} give {dot}");
                }
            }
        }
    }

    #[test]
    fn invariants_have_the_sign_of_the_convention() {
        let tables = ClebschGordan::new(12);
        for l in 0..=12 {
            let sign = if l % 2 == 0 { 1.0 } else { -1.0 };
            for c in tables.real(l, l, 0) {
                assert_eq!(c.m1, c.m2);
                assert!((c.value - sign / ((2 * l + 1) as f64).sqrt()).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn degrees_that_do_not_add_up_have_none() {
        assert!(ClebschGordan::new(4).real(1, 1, 3).is_empty());
        assert!(ClebschGordan::new(4).real(1, 4, 2).is_empty());
    }

    #[test]
    fn large_degrees_stay_exact() {
        let tables = ClebschGordan::new(MAX_DEGREE);
        for (l1, l2, lambda) in [(40, 40, 40), (40, 20, 21), (5, 38, 40)] {
            let sum: f64 = tables.real(l1, l2, lambda).iter().map(|c| c.value * c.value).sum();
            assert!((sum / (2 * lambda + 1) as f64 - 1.0).abs() < 1e-13, "{sum}");
        }
    }
}
