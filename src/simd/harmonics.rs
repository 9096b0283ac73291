//! The inner loop of the spherical harmonics; the recurrences are explained in `angular::harmonics`.

use super::Simd;

/// `Y_lm` of `W` vectors' worth of unit vectors: `out[lm * stride + w * LANES + lane]`.
///
/// `start[m]` is `Q_mm`; `steps` holds `(a_lm, b_lm)` for `m = 0..=L`, `l = m + 1..=L`. Several vectors at a time, since
/// each recurrence is a chain in which every step waits for the one before.
///
/// # Panics
/// If `out` is too short, or the tables do not fit together.
#[inline(always)]
pub fn harmonic_values<S: Simd, const W: usize>(
    s: S,
    start: &[f64],
    steps: &[[f64; 2]],
    units: [[S::V; W]; 3],
    out: &mut [f64],
    stride: usize,
) {
    let n = start.len();
    assert!(
        steps.len() == n * (n - 1) / 2
            && W * S::LANES <= stride
            && n * n * stride <= out.len() + stride - W * S::LANES
    );
    let [x, y, z] = units;
    let out = out.as_mut_ptr();
    let (mut re, mut im) = ([s.splat(1.0); W], [s.splat(0.0); W]);
    let mut step = steps.iter();
    for m in 0..n {
        if m > 0 {
            for w in 0..W {
                let old = re[w];
                re[w] = s.fnma(y[w], im[w], s.mul(x[w], old));
                im[w] = s.fma(x[w], im[w], s.mul(y[w], old));
            }
        }
        let mut below = [s.splat(0.0); W];
        let mut here = [s.splat(start[m]); W];
        for l in m..n {
            if l > m {
                let Some(&[a, b]) = step.next() else { return };
                let (a, b) = (s.splat(a), s.splat(b));
                for w in 0..W {
                    let next = s.fnma(b, below[w], s.mul(s.mul(a, z[w]), here[w]));
                    (below[w], here[w]) = (here[w], next);
                }
            }
            // SAFETY: l^2 + l + m < n^2, so the last number written lies within the length asserted above.
            unsafe {
                let row = out.add((l * l + l + m) * stride);
                for w in 0..W {
                    s.store_ptr(s.mul(here[w], re[w]), row.add(w * S::LANES));
                }
                if m > 0 {
                    let row = out.add((l * l + l - m) * stride);
                    for w in 0..W {
                        s.store_ptr(s.mul(here[w], im[w]), row.add(w * S::LANES));
                    }
                }
            }
        }
    }
}

/// Values and gradients for one vector's worth of unit vectors: `out[lm * stride + lane]`,
/// `slopes[xyz][lm * stride + lane]`; the tables are those of [`harmonic_values`].
///
/// The gradients are those of the polynomials that the recurrences evaluate; with a factor `tangent` they are multiplied
/// by it, without their part along the unit vector, which depends on how `Y` is continued off the sphere.
///
/// # Panics
/// If an output is too short, or the tables do not fit together.
#[inline(always)]
pub fn harmonic_gradients<S: Simd>(
    s: S,
    start: &[f64],
    steps: &[[f64; 2]],
    unit: [S::V; 3],
    tangent: Option<S::V>,
    out: &mut [f64],
    slopes: [&mut [f64]; 3],
    stride: usize,
) {
    let n = start.len();
    let fits = |len: usize| n * n * stride <= len + stride - S::LANES;
    assert!(steps.len() == n * (n - 1) / 2 && S::LANES <= stride, "tables do not fit together");
    assert!(fits(out.len()) && slopes.iter().all(|slope| fits(slope.len())), "gradients too short");
    let [slope_x, slope_y, slope_z] = slopes;
    let to = [out.as_mut_ptr(), slope_x.as_mut_ptr(), slope_y.as_mut_ptr(), slope_z.as_mut_ptr()];
    let [x, y, z] = unit;
    let zero = s.splat(0.0);
    let (mut re, mut im) = (s.splat(1.0), zero);
    let (mut re_before, mut im_before) = (zero, zero);
    let mut step = steps.iter();
    for m in 0..n {
        if m > 0 {
            (re_before, im_before) = (re, im);
            re = s.fnma(y, im_before, s.mul(x, re_before));
            im = s.fma(x, im_before, s.mul(y, re_before));
        }
        let times_m = s.splat(m as f64);
        let (mut below, mut here) = (zero, s.splat(start[m]));
        let (mut slope_below, mut slope_here) = (zero, zero);
        for l in m..n {
            if l > m {
                let Some(&[a, b]) = step.next() else { return };
                let (a, b) = (s.splat(a), s.splat(b));
                let next = s.fnma(b, below, s.mul(s.mul(a, z), here));
                let slope_next = s.fnma(b, slope_below, s.mul(a, s.fma(z, slope_here, here)));
                (below, here) = (here, next);
                (slope_below, slope_here) = (slope_here, slope_next);
            }
            let flat = s.mul(times_m, here);
            // SAFETY: l^2 + l +- m < n^2, so what is written lies within the lengths asserted above.
            unsafe {
                let gradient = [s.mul(flat, re_before), s.fnma(flat, im_before, zero), s.mul(slope_here, re)];
                write_gradient(s, unit, tangent, s.mul(here, re), gradient, to, (l * l + l + m) * stride);
                if m > 0 {
                    let gradient = [s.mul(flat, im_before), s.mul(flat, re_before), s.mul(slope_here, im)];
                    write_gradient(s, unit, tangent, s.mul(here, im), gradient, to, (l * l + l - m) * stride);
                }
            }
        }
    }
}

/// Writes a value and its gradient; `tangent` as in [`harmonic_gradients`].
///
/// # Safety
/// One vector must be writable at `at` behind each pointer.
#[inline(always)]
unsafe fn write_gradient<S: Simd>(
    s: S,
    unit: [S::V; 3],
    tangent: Option<S::V>,
    value: S::V,
    mut gradient: [S::V; 3],
    to: [*mut f64; 4],
    at: usize,
) {
    if let Some(factor) = tangent {
        let along = s.fma(unit[0], gradient[0], s.fma(unit[1], gradient[1], s.mul(unit[2], gradient[2])));
        for x in 0..3 {
            gradient[x] = s.mul(factor, s.fnma(along, unit[x], gradient[x]));
        }
    }
    // SAFETY: passed on from the caller.
    unsafe {
        s.store_ptr(value, to[0].add(at));
        for x in 0..3 {
            s.store_ptr(gradient[x], to[1 + x].add(at));
        }
    }
}

/// Columns of `width` vectors, `stride` numbers apart, as rows of `width` numbers, `row_stride` apart: one row per lane.
/// Fewer rows than lanes are filled if there are not more.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn columns_to_rows<S: Simd>(
    s: S,
    columns: &[f64],
    stride: usize,
    width: usize,
    rows: &mut [f64],
    row_stride: usize,
) {
    assert!((width - 1) * stride + S::LANES <= columns.len(), "columns too short");
    if (S::LANES - 1) * row_stride + width <= rows.len() {
        // SAFETY: both shapes were checked just above.
        unsafe { s.transpose(columns.as_ptr(), stride, width, rows.as_mut_ptr(), row_stride) };
        return;
    }
    let mut lane = 0;
    while lane * row_stride + width <= rows.len() {
        for c in 0..width {
            rows[lane * row_stride + c] = columns[c * stride + lane];
        }
        lane += 1;
    }
}
