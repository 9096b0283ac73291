//! Products of equivariants, environments in lanes: a coupling coefficient is a number times a vector of environments.
//!
//! Arrays are `[channel][m][environment]`; kernels work on [`Element::ENVIRONMENTS`] neighboring ones at a time.
//! Coefficients are in double precision, and rounded to that of the arrays when they are used.

use super::{Element, Lanes, Simd};

/// Environments that a kernel works on at once, in double precision.
pub const ENVIRONMENTS: usize = f64::ENVIRONMENTS;

/// Whether two vectors hold the environments that a kernel works on at once; if not, four do.
#[inline(always)]
fn two_vectors<S: Lanes>() -> bool {
    2 * S::LANES == S::Element::ENVIRONMENTS
}

/// A number times the row of an array, one of a sum.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    /// Which row.
    pub row: u32,
    /// Its factor.
    pub value: f64,
}

/// Sums of rows, `out[k] = sum over the terms of k`, as a sparse matrix by rows.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    /// Where the terms of each sum start, and where the last ones end.
    starts: Vec<u32>,
    terms: Vec<Term>,
    n_rows: usize,
}

impl Sums {
    /// From the terms of every sum.
    #[must_use]
    pub fn new(sums: &[Vec<Term>]) -> Self {
        let mut starts = vec![0];
        let mut terms = Vec::new();
        for sum in sums {
            terms.extend_from_slice(sum);
            starts.push(terms.len() as u32);
        }
        let n_rows = terms.iter().map(|t| t.row as usize + 1).max().unwrap_or(0);
        Self { starts, terms, n_rows }
    }

    /// All terms with the sum they belong to.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Term)> + '_ {
        let of = |k: usize| &self.terms[self.starts[k] as usize..self.starts[k + 1] as usize];
        (0..self.len()).flat_map(move |k| of(k).iter().map(move |term| (k, *term)))
    }

    /// Number of sums.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where the sums go: sum k, vector v of two to a panel.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// From a sum to the next.
    pub sum: usize,
    /// From two vectors to the next two.
    pub panel: usize,
}

/// `products[m1 n2 + m2] = factor x[m1] y[m2]` of one channel each, for [`Element::ENVIRONMENTS`] environments; `x` and `y` are
/// [m, stride], `products` [n1 n2, ENVIRONMENTS].
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn outer_product<S: Lanes>(
    s: S,
    x: &[S::Element],
    y: &[S::Element],
    n1: usize,
    n2: usize,
    stride: usize,
    factor: f64,
    products: &mut [S::Element],
) {
    if two_vectors::<S>() {
        outer_vectors::<S, 2>(s, x, y, n1, n2, stride, factor, products);
    } else {
        outer_vectors::<S, 4>(s, x, y, n1, n2, stride, factor, products);
    }
}

#[inline(always)]
fn outer_vectors<S: Lanes, const V: usize>(
    s: S,
    x: &[S::Element],
    y: &[S::Element],
    n1: usize,
    n2: usize,
    stride: usize,
    factor: f64,
    products: &mut [S::Element],
) {
    assert!(V * S::LANES == S::Element::ENVIRONMENTS && n1 > 0 && n2 > 0);
    assert!((n1 - 1) * stride + S::Element::ENVIRONMENTS <= x.len(), "first factor too short");
    assert!((n2 - 1) * stride + S::Element::ENVIRONMENTS <= y.len(), "second factor too short");
    assert!(n1 * n2 * S::Element::ENVIRONMENTS <= products.len(), "products too short");
    let factor = s.splat(S::Element::nearest(factor));
    // SAFETY: rows m1 < n1 and m2 < n2 of ENVIRONMENTS numbers, and their products, lie in the lengths asserted above.
    unsafe {
        for m1 in 0..n1 {
            let mut a = [factor; V];
            for v in 0..V {
                a[v] = s.mul(factor, s.load_ptr(x.as_ptr().add(m1 * stride + v * S::LANES)));
            }
            for m2 in 0..n2 {
                let out = products.as_mut_ptr().add((m1 * n2 + m2) * S::Element::ENVIRONMENTS);
                for v in 0..V {
                    let b = s.load_ptr(y.as_ptr().add(m2 * stride + v * S::LANES));
                    s.store_ptr(s.mul(a[v], b), out.add(v * S::LANES));
                }
            }
        }
    }
}

/// The derivative of [`outer_product`] along directions, one in each lane:
/// `products[m1 n2 + m2] = factor (a[m1] y[m2] + x[m1] b[m2])` with the channels `a` and `b` of one environment, `at`, and
/// their derivatives `x` and `y` `[m, stride]`, `along`.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn outer_tangent<S: Lanes>(
    s: S,
    at: [&[S::Element]; 2],
    along: [&[S::Element]; 2],
    stride: usize,
    factor: f64,
    products: &mut [S::Element],
) {
    if two_vectors::<S>() {
        outer_tangent_vectors::<S, 2>(s, at, along, stride, factor, products);
    } else {
        outer_tangent_vectors::<S, 4>(s, at, along, stride, factor, products);
    }
}

#[inline(always)]
fn outer_tangent_vectors<S: Lanes, const V: usize>(
    s: S,
    [a, b]: [&[S::Element]; 2],
    [x, y]: [&[S::Element]; 2],
    stride: usize,
    factor: f64,
    products: &mut [S::Element],
) {
    let (n1, n2) = (a.len(), b.len());
    assert!(V * S::LANES == S::Element::ENVIRONMENTS && n1 > 0 && n2 > 0);
    assert!((n1 - 1) * stride + S::Element::ENVIRONMENTS <= x.len(), "first factor too short");
    assert!((n2 - 1) * stride + S::Element::ENVIRONMENTS <= y.len(), "second factor too short");
    assert!(n1 * n2 * S::Element::ENVIRONMENTS <= products.len(), "products too short");
    let factor = s.splat(S::Element::nearest(factor));
    // SAFETY: rows m1 < n1 and m2 < n2 of ENVIRONMENTS numbers, and their products, lie in the lengths asserted above.
    unsafe {
        for m1 in 0..n1 {
            let first = s.mul(factor, s.splat(a[m1]));
            let mut moved = [factor; V];
            for v in 0..V {
                moved[v] = s.mul(factor, s.load_ptr(x.as_ptr().add(m1 * stride + v * S::LANES)));
            }
            for m2 in 0..n2 {
                let second = s.splat(b[m2]);
                let out = products.as_mut_ptr().add((m1 * n2 + m2) * S::Element::ENVIRONMENTS);
                for v in 0..V {
                    let y = s.load_ptr(y.as_ptr().add(m2 * stride + v * S::LANES));
                    s.store_ptr(s.fma(first, y, s.mul(moved[v], second)), out.add(v * S::LANES));
                }
            }
        }
    }
}

/// The derivative of [`inner_product`] along directions, as [`outer_tangent`]: `out = factor sum_m (a[m] y[m] + x[m] b[m])`.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn inner_tangent<S: Lanes>(
    s: S,
    at: [&[S::Element]; 2],
    along: [&[S::Element]; 2],
    stride: usize,
    factor: f64,
    panel: usize,
    out: &mut [S::Element],
) {
    if two_vectors::<S>() {
        inner_tangent_vectors::<S, 2>(s, at, along, stride, factor, panel, out);
    } else {
        inner_tangent_vectors::<S, 4>(s, at, along, stride, factor, panel, out);
    }
}

#[inline(always)]
fn inner_tangent_vectors<S: Lanes, const V: usize>(
    s: S,
    [a, b]: [&[S::Element]; 2],
    [x, y]: [&[S::Element]; 2],
    stride: usize,
    factor: f64,
    panel: usize,
    out: &mut [S::Element],
) {
    let n = a.len();
    assert!(V * S::LANES == S::Element::ENVIRONMENTS && n > 0 && b.len() == n);
    assert!((n - 1) * stride + S::Element::ENVIRONMENTS <= x.len().min(y.len()), "factors too short");
    assert!((V / 2 - 1) * panel + 2 * S::LANES <= out.len(), "product too short");
    let mut sum = [s.splat(S::Element::default()); V];
    // SAFETY: rows m < n of ENVIRONMENTS numbers and the two halves of the result lie in the lengths asserted above.
    unsafe {
        for m in 0..n {
            let (a, b) = (s.splat(a[m]), s.splat(b[m]));
            for v in 0..V {
                let at = m * stride + v * S::LANES;
                sum[v] = s.fma(a, s.load_ptr(y.as_ptr().add(at)), sum[v]);
                sum[v] = s.fma(b, s.load_ptr(x.as_ptr().add(at)), sum[v]);
            }
        }
        let factor = s.splat(S::Element::nearest(factor));
        for v in 0..V {
            let to = out.as_mut_ptr().add(v / 2 * panel + v % 2 * S::LANES);
            s.store_ptr(s.mul(factor, sum[v]), to);
        }
    }
}

/// `out[k] = sum of the terms of k`, over rows of `rows` [row, ENVIRONMENTS].
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn add_up<S: Lanes>(s: S, sums: &Sums, rows: &[S::Element], place: Place, out: &mut [S::Element]) {
    if two_vectors::<S>() {
        add_vectors::<S, 2>(s, sums, rows, place, out);
    } else {
        add_vectors::<S, 4>(s, sums, rows, place, out);
    }
}

#[inline(always)]
fn add_vectors<S: Lanes, const V: usize>(
    s: S,
    sums: &Sums,
    rows: &[S::Element],
    place: Place,
    out: &mut [S::Element],
) {
    assert!(V * S::LANES == S::Element::ENVIRONMENTS);
    if sums.is_empty() {
        return;
    }
    assert!(sums.n_rows * S::Element::ENVIRONMENTS <= rows.len(), "rows too short");
    assert!(
        (sums.len() - 1) * place.sum + (V / 2 - 1) * place.panel + 2 * S::LANES <= out.len(),
        "sums too short"
    );
    // SAFETY: terms lie within `starts` and name rows below `n_rows` by construction; out is asserted above.
    unsafe {
        for k in 0..sums.len() {
            let mut sum = [s.splat(S::Element::default()); V];
            for at in *sums.starts.get_unchecked(k)..*sums.starts.get_unchecked(k + 1) {
                let term = sums.terms.get_unchecked(at as usize);
                let value = s.splat(S::Element::nearest(term.value));
                let row = rows.as_ptr().add(term.row as usize * S::Element::ENVIRONMENTS);
                for v in 0..V {
                    sum[v] = s.fma(value, s.load_ptr(row.add(v * S::LANES)), sum[v]);
                }
            }
            let to = out.as_mut_ptr().add(k * place.sum);
            for v in 0..V {
                s.store_ptr(sum[v], to.add(v / 2 * place.panel + v % 2 * S::LANES));
            }
        }
    }
}

/// `out = factor sum_m x[m] y[m]` for [`Element::ENVIRONMENTS`] environments; `x` and `y` are [m, stride], the two halves of the
/// vectors of `out` are `panel` apart.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn inner_product<S: Lanes>(
    s: S,
    x: &[S::Element],
    y: &[S::Element],
    n: usize,
    stride: usize,
    factor: f64,
    panel: usize,
    out: &mut [S::Element],
) {
    if two_vectors::<S>() {
        inner_vectors::<S, 2>(s, x, y, n, stride, factor, panel, out);
    } else {
        inner_vectors::<S, 4>(s, x, y, n, stride, factor, panel, out);
    }
}

#[inline(always)]
fn inner_vectors<S: Lanes, const V: usize>(
    s: S,
    x: &[S::Element],
    y: &[S::Element],
    n: usize,
    stride: usize,
    factor: f64,
    panel: usize,
    out: &mut [S::Element],
) {
    assert!(V * S::LANES == S::Element::ENVIRONMENTS && n > 0);
    assert!((n - 1) * stride + S::Element::ENVIRONMENTS <= x.len().min(y.len()), "factors too short");
    assert!((V / 2 - 1) * panel + 2 * S::LANES <= out.len(), "product too short");
    let mut sum = [s.splat(S::Element::default()); V];
    // SAFETY: rows m < n of ENVIRONMENTS numbers and the two halves of the result lie in the lengths asserted above.
    unsafe {
        for m in 0..n {
            for v in 0..V {
                let at = m * stride + v * S::LANES;
                sum[v] = s.fma(s.load_ptr(x.as_ptr().add(at)), s.load_ptr(y.as_ptr().add(at)), sum[v]);
            }
        }
        let factor = s.splat(S::Element::nearest(factor));
        for v in 0..V {
            let to = out.as_mut_ptr().add(v / 2 * panel + v % 2 * S::LANES);
            s.store_ptr(s.mul(factor, sum[v]), to);
        }
    }
}

/// `to[m] += weight from[m]` for [`ENVIRONMENTS`] environments, both [m, stride].
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn add_scaled<S: Simd>(s: S, weight: f64, from: &[f64], n: usize, stride: usize, to: &mut [f64]) {
    assert!(n > 0 && (n - 1) * stride + ENVIRONMENTS <= from.len().min(to.len()), "rows too short");
    let weight = s.splat(weight);
    // SAFETY: rows m < n of ENVIRONMENTS numbers lie in both slices, as asserted above.
    unsafe {
        for m in 0..n {
            for at in (m * stride..m * stride + ENVIRONMENTS).step_by(S::LANES) {
                let old = s.load_ptr(to.as_ptr().add(at));
                let new = s.fma(weight, s.load_ptr(from.as_ptr().add(at)), old);
                s.store_ptr(new, to.as_mut_ptr().add(at));
            }
        }
    }
}

/// The adjoint of the coupling of one pair: with `h[m1, m2] = factor * (sum of the terms of m1 n2 + m2)` over the rows of
/// `gradient` [row, stride], `gx[m1] += sum_m2 h y[m2]` and `gy[m2] += sum_m1 h x[m1]`.
///
/// `x`, `y`, `gx` and `gy` are [m, stride].
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn pull_back<S: Simd>(
    s: S,
    sums: &Sums,
    gradient: &[f64],
    factor: f64,
    x: &[f64],
    y: &[f64],
    n1: usize,
    n2: usize,
    stride: usize,
    gx: &mut [f64],
    gy: &mut [f64],
) {
    if two_vectors::<S>() {
        pull_vectors::<S, 2>(s, sums, gradient, factor, x, y, n1, n2, stride, gx, gy);
    } else {
        pull_vectors::<S, 4>(s, sums, gradient, factor, x, y, n1, n2, stride, gx, gy);
    }
}

#[inline(always)]
fn pull_vectors<S: Simd, const V: usize>(
    s: S,
    sums: &Sums,
    gradient: &[f64],
    factor: f64,
    x: &[f64],
    y: &[f64],
    n1: usize,
    n2: usize,
    stride: usize,
    gx: &mut [f64],
    gy: &mut [f64],
) {
    assert!(V * S::LANES == ENVIRONMENTS && sums.len() == n1 * n2 && n1 > 0 && n2 > 0);
    assert!(sums.n_rows == 0 || (sums.n_rows - 1) * stride + ENVIRONMENTS <= gradient.len());
    assert!((n1 - 1) * stride + ENVIRONMENTS <= x.len().min(gx.len()), "first factor too short");
    assert!((n2 - 1) * stride + ENVIRONMENTS <= y.len().min(gy.len()), "second factor too short");
    let scale = s.splat(factor);
    // SAFETY: terms lie within `starts` and name rows below `n_rows` by construction; rows m1 < n1 and m2 < n2 of
    // ENVIRONMENTS numbers lie in the lengths asserted above.
    unsafe {
        for m1 in 0..n1 {
            let mut a = [scale; V];
            let mut pull = [s.splat(0.0); V];
            for v in 0..V {
                a[v] = s.load_ptr(x.as_ptr().add(m1 * stride + v * S::LANES));
            }
            for m2 in 0..n2 {
                let k = m1 * n2 + m2;
                let mut sum = [s.splat(0.0); V];
                for at in *sums.starts.get_unchecked(k)..*sums.starts.get_unchecked(k + 1) {
                    let term = sums.terms.get_unchecked(at as usize);
                    let value = s.splat(term.value);
                    let row = gradient.as_ptr().add(term.row as usize * stride);
                    for v in 0..V {
                        sum[v] = s.fma(value, s.load_ptr(row.add(v * S::LANES)), sum[v]);
                    }
                }
                for v in 0..V {
                    let at = m2 * stride + v * S::LANES;
                    let weight = s.mul(scale, sum[v]);
                    pull[v] = s.fma(weight, s.load_ptr(y.as_ptr().add(at)), pull[v]);
                    let to = gy.as_mut_ptr().add(at);
                    s.store_ptr(s.fma(weight, a[v], s.load_ptr(to)), to);
                }
            }
            for v in 0..V {
                let to = gx.as_mut_ptr().add(m1 * stride + v * S::LANES);
                s.store_ptr(s.add(s.load_ptr(to), pull[v]), to);
            }
        }
    }
}
