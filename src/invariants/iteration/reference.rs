//! The iteration as Eq. 11 says it, one environment, one pair, one order at a time. The oracle of the tests and the
//! baseline of the benches; it shares the settings with the fast kernels and nothing else.

use super::settings::{PlanSettings, ProjectionSettings, Symmetry};
use crate::math::clebsch_gordan::ClebschGordan;

/// Values of one symmetry. [m, q]
pub type Block = Vec<Vec<f64>>;

/// All orders of one environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// Equivariants. `[nu - 1][block]`
    pub blocks: Vec<Vec<(Symmetry, Block)>>,
    /// Invariants. [nu - 1]
    pub invariants: Vec<Vec<f64>>,
}

/// The iteration for one environment; `c` holds its packed density coefficients, for each degree [m, q].
///
/// # Panics
/// If the settings name what is not there; a [`super::Plan`] checks them.
#[must_use]
pub fn iterate(settings: &PlanSettings, c: &[f64]) -> Environment {
    let mut start = 0;
    let mut density = Vec::new();
    for (l, &n) in settings.channels.iter().enumerate() {
        let block: Block = (0..=2 * l).map(|m| c[start + m * n..start + (m + 1) * n].to_vec()).collect();
        density.push((Symmetry::density(l), block));
        start += (2 * l + 1) * n;
    }
    let mut all = Environment { invariants: vec![density[0].1[0].clone()], blocks: vec![density] };
    for step in &settings.steps {
        let below = all.blocks.last().expect("an order below");
        let density = &all.blocks[0];
        let find = |symmetry| &below.iter().find(|(s, _)| *s == symmetry).expect("a block").1;
        let mut blocks = Vec::new();
        for output in &step.outputs {
            let lambda = output.symmetry.lambda;
            let mut rows: Block = vec![Vec::new(); 2 * lambda + 1];
            for coupling in &step.couplings {
                if coupling.second.coupled(coupling.l, lambda) != Some(output.symmetry) {
                    continue;
                }
                let (x, y) = (&density[coupling.l].1, find(coupling.second));
                for (pair, factor) in
                    coupling.pairs.iter().zip(&coupling.factors).take(coupling.count(lambda))
                {
                    let product = couple(x, y, *pair, lambda);
                    for (row, value) in rows.iter_mut().zip(product) {
                        row.push(factor * value);
                    }
                }
            }
            let lower = |order: usize| {
                let block = all.blocks[order - 1].iter().find(|(s, _)| *s == output.symmetry);
                block.expect("a lower order").1.clone()
            };
            blocks.push((output.symmetry, contract(rows, output.projection.as_ref(), lower)));
        }
        let mut invariants = Vec::new();
        if let Some(settings) = &step.invariants {
            let mut row = Vec::new();
            for (&[l, q1, q2], factor) in settings.pairs.iter().zip(&settings.factors) {
                let (x, y) = (&density[l as usize].1, find(Symmetry::density(l as usize)));
                row.push(factor * couple(x, y, [q1, q2], 0)[0]);
            }
            let lower = |order: usize| vec![all.invariants[order - 1].clone()];
            invariants = contract(vec![row], settings.projection.as_ref(), lower).remove(0);
        }
        all.blocks.push(blocks);
        all.invariants.push(invariants);
    }
    all
}

/// `sum_m1m2 <l1 m1; l2 m2 | lambda mu> x[m1] y[m2]`, `[mu]`.
fn couple(x: &Block, y: &Block, [q1, q2]: [u32; 2], lambda: usize) -> Vec<f64> {
    let (l1, l2) = (x.len() / 2, y.len() / 2);
    let mut product = vec![0.0; 2 * lambda + 1];
    for c in ClebschGordan::new(l1.max(l2).max(lambda)).real(l1, l2, lambda) {
        product[c.mu] += c.value * x[c.m1][q1 as usize] * y[c.m2][q2 as usize];
    }
    product
}

/// `A^T x + B^T z`, for each order m.
fn contract(rows: Block, projection: Option<&ProjectionSettings>, lower: impl Fn(usize) -> Block) -> Block {
    let Some(projection) = projection else { return rows };
    let p = projection.width;
    let mut out = Vec::new();
    for (m, row) in rows.iter().enumerate() {
        let mut values: Vec<f64> = (0..p)
            .map(|q| row.iter().enumerate().map(|(k, x)| x * projection.matrix[k * p + q]).sum())
            .collect();
        for (order, matrix) in &projection.purification {
            let z = &lower(*order)[m];
            for (k, b) in matrix.chunks(p).enumerate() {
                for q in 0..p {
                    values[q] += b[q] * z[k];
                }
            }
        }
        out.push(values);
    }
    out
}
