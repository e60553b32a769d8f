//! Exponential, logistic and normal distribution on vectors, to about one unit in the last place.
//!
//! The polynomials are our own minimax fits (weighted least squares in 40-digit arithmetic).

use super::Simd;

/// `eˣ`. Results below 2.4e-38 are zero; above `f32::MAX`, infinity; NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    const LOWEST: f32 = -86.6;
    const HIGHEST: f32 = 88.722_83;
    // ln 2 in two parts, the first with trailing zeros, so that n·LN2_HIGH is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const P: [f32; 5] = [0.499_999_94, 0.166_665_15, 0.041_668_456, 0.008_369_419, 0.001_381_314_2];

    let bounded = s.min(s.splat(89.0), s.max(s.splat(LOWEST), x));
    let n = s.round(s.mul(bounded, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN2_HIGH), bounded);
    let r = s.fma(n, s.splat(-LN2_LOW), r);
    let p = polynomial(s, r, &P);
    let p = s.add(s.splat(1.0), s.fma(s.mul(r, r), p, r));
    // 2ⁿ in two factors: n may be 128, which alone has no f32.
    let power = s.pow2(s.sub(n, s.splat(1.0)));
    let y = s.mul(s.mul(p, s.splat(2.0)), power);
    let y = s.select_less((x, s.splat(LOWEST)), s.splat(0.0), y);
    s.select_less((s.splat(HIGHEST), x), s.splat(f32::INFINITY), y)
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// The standard normal distribution: `Φ(x)` and its density `φ(x)`.
///
/// `Φ(−t) = e^(−t²/2)·Q(t)` where `Q`, a scaled complementary error function, is smooth enough for
/// a polynomial in `1/(1 + 0.35·t)`: full relative accuracy down to where `Φ` vanishes.
#[inline(always)]
pub(crate) fn normal<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    const Q: [f32; 9] = [
        0.139_621_4,
        0.139_861_9,
        0.119_832_635,
        0.105_508_96,
        -0.023_112_196,
        0.159_177_72,
        -0.255_717_46,
        0.143_973_29,
        -0.029_146_263,
    ];
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let t = s.max(x, s.sub(zero, x));
    let bell = exp(s, s.mul(s.mul(t, t), s.splat(-0.5)));
    let w = s.div(one, s.fma(t, s.splat(0.35), one));
    let tail = s.mul(bell, s.mul(w, polynomial(s, w, &Q)));
    let cdf = s.select_less((x, zero), tail, s.sub(one, tail));
    (cdf, s.mul(bell, s.splat(0.398_942_3)))
}

/// `Σ coefficients[i]·xⁱ` by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::V, coefficients: &[f32; N]) -> S::V {
    let mut sum = s.splat(coefficients[N - 1]);
    for &c in coefficients[..N - 1].iter().rev() {
        sum = s.fma(sum, x, s.splat(c));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::activation::normal_cdf;
    use crate::simd::{Kernel, run};

    struct Apply<'a>(&'a [f32], &'a mut [[f32; 4]]);

    impl Kernel for Apply<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for (&x, y) in self.0.iter().zip(self.1) {
                let x = s.splat(x);
                let (cdf, density) = normal(s, x);
                let mut lanes = [0.0; 16];
                for (y, value) in y.iter_mut().zip([exp(s, x), sigmoid(s, x), cdf, density]) {
                    s.put(&mut lanes, value);
                    *y = lanes[0];
                }
            }
        }
    }

    #[test]
    fn close_to_f64_everywhere() {
        let x: Vec<f32> = (-200_000..=200_000).map(|i| i as f32 * 4.431e-4).collect();
        let mut y = vec![[0.0; 4]; x.len()];
        run(Apply(&x, &mut y));
        let mut worst = [0.0_f64; 3];
        for (&x, y) in x.iter().zip(&y) {
            let x = f64::from(x);
            let truth = [x.exp(), 1.0 / (1.0 + (-x).exp()), normal_cdf(x)];
            // The argument x²/2 of the bell is rounded: its error grows with itself.
            let slack = [1.0, 1.0, 1.0 + x * x / 2.0];
            for i in 0..3 {
                if truth[i] > 3e-38 && truth[i] < 3.4e38 {
                    let error = (f64::from(y[i]) - truth[i]).abs() / truth[i] / slack[i];
                    worst[i] = worst[i].max(error);
                }
            }
        }
        assert!(worst[0] < 1.2e-7 && worst[1] < 2.5e-7 && worst[2] < 3e-7, "{worst:?}");
    }

    #[test]
    fn extremes() {
        let x = [f32::NEG_INFINITY, -1e30, -87.5, 0.0, 88.722, 88.73, f32::INFINITY, f32::NAN];
        let mut y = [[0.0; 4]; 8];
        run(Apply(&x, &mut y));
        let exp = y.map(|y| y[0]);
        assert_eq!(exp[..4], [0.0, 0.0, 0.0, 1.0]);
        assert!((exp[4] / 3.4e38 - 1.0).abs() < 1e-2 && exp[5..7] == [f32::INFINITY; 2]);
        assert!(y[7].iter().all(|v| v.is_nan()));
        assert_eq!((y[1][1], y[5][1], y[1][2], y[5][2]), (0.0, 1.0, 0.0, 1.0));
        assert_eq!((y[3][1], y[3][2]), (0.5, 0.5));
    }
}
