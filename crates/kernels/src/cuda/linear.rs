//! Products with matrices, and their gradients.
//!
//! Shapes: `x` is `[rows, inputs]`, a matrix `[outputs, inputs]`, `y` `[rows, outputs]`. Where the matrix is
//! bf16 the other factor is rounded to it; sums and results are f32.

use bytemuck::{Pod, Zeroable};

use crate::cuda::compile::{ELEMENTWISE, LINEAR};
use crate::cuda::launch::{Grid, Launch, THREADS, int};
use crate::cuda::memory::Buffer;
use crate::cuda::{Arithmetic, Card};

/// The upper half of an f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Bf16(pub u16);

/// A matrix `[outputs, inputs]` as it is stored.
#[derive(Clone, Debug)]
pub enum Matrix {
    /// f32.
    F32(Buffer),
    /// bf16.
    Bf16(Buffer<Bf16>),
}

/// Values rounded to what a matrix is multiplied in, once for all products that take them.
#[derive(Debug)]
pub struct Rounded<'a>(Factor<'a>);

#[derive(Debug)]
enum Factor<'a> {
    Lent(&'a Buffer),
    F32(Buffer),
    Bf16(Buffer<Bf16>),
}

/// The type of both factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    F32,
    Bf16,
}

/// `out [m, n] (+)= a [m, k] · b [k, n]`, all column by column; a turned factor is stored the other way.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: u64,
    pub(crate) turn_a: bool,
    pub(crate) b: u64,
    pub(crate) turn_b: bool,
    pub(crate) out: u64,
    pub(crate) adds: bool,
    pub(crate) precision: Precision,
}

impl Product {
    /// Rows and columns of `a` as it lies in memory, column by column.
    pub(crate) fn stored_a(&self) -> [usize; 2] {
        if self.turn_a { [self.k, self.m] } else { [self.m, self.k] }
    }

    /// As [`stored_a`](Self::stored_a) for `b`.
    pub(crate) fn stored_b(&self) -> [usize; 2] {
        if self.turn_b { [self.n, self.k] } else { [self.k, self.n] }
    }

    /// What the best way to do it depends on.
    pub(crate) fn shape(&self) -> String {
        let Self { m, n, k, turn_a, turn_b, adds, precision, .. } = self;
        format!("{m} {n} {k} {turn_a} {turn_b} {adds} {precision:?}")
    }
}

impl Matrix {
    /// Room for a matrix of so many values, to be written in parts.
    pub fn scratch(card: &Card, len: usize) -> Self {
        match card.arithmetic() {
            Arithmetic::F32 => Self::F32(Buffer::scratch(card, len)),
            Arithmetic::Bf16 => Self::Bf16(Buffer::scratch(card, len)),
        }
    }

    /// Replaces the values from `first` on; rounded where the matrix is bf16.
    pub fn write(&mut self, first: usize, values: &[f32]) {
        match self {
            Self::F32(buffer) => buffer.write(first, values),
            Self::Bf16(buffer) => {
                let half = |&value: &f32| Bf16(half::bf16::from_f32(value).to_bits());
                buffer.write(first, &values.iter().map(half).collect::<Vec<_>>());
            }
        }
    }

    /// The values as f32.
    pub fn download(&self) -> Vec<f32> {
        let whole = |half: Bf16| half::bf16::from_bits(half.0).to_f32();
        match self {
            Self::F32(buffer) => buffer.download(),
            Self::Bf16(buffer) => buffer.download().into_iter().map(whole).collect(),
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(buffer) => buffer.len(),
            Self::Bf16(buffer) => buffer.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where it is.
    pub fn card(&self) -> &Card {
        match self {
            Self::F32(buffer) => buffer.card(),
            Self::Bf16(buffer) => buffer.card(),
        }
    }

    /// Values as products with this matrix take them.
    pub fn round<'a>(&self, x: &'a Buffer) -> Rounded<'a> {
        Rounded(match self {
            Self::F32(_) => Factor::Lent(x),
            Self::Bf16(_) => Factor::Bf16(to_bf16(x)),
        })
    }

    pub(crate) fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::Bf16(_) => Precision::Bf16,
        }
    }

    /// The address of a row of `inputs` values.
    fn row(&self, row: usize, inputs: usize) -> u64 {
        match self {
            Self::F32(buffer) => buffer.address_of(row * inputs),
            Self::Bf16(buffer) => buffer.address_of(row * inputs),
        }
    }
}

impl Rounded<'_> {
    /// Checks that a product with `weight` reads these values as what they are.
    fn check(&self, weight: &Matrix) {
        let precision = match self.0 {
            Factor::Lent(_) | Factor::F32(_) => Precision::F32,
            Factor::Bf16(_) => Precision::Bf16,
        };
        assert_eq!(precision, weight.precision(), "types of a product's factors");
    }

    pub(crate) fn address(&self) -> u64 {
        match &self.0 {
            Factor::Lent(buffer) => buffer.address(),
            Factor::F32(buffer) => buffer.address(),
            Factor::Bf16(buffer) => buffer.address(),
        }
    }
}

impl From<Buffer> for Rounded<'_> {
    fn from(buffer: Buffer) -> Self {
        Self(Factor::F32(buffer))
    }
}

impl From<Buffer<Bf16>> for Rounded<'_> {
    fn from(buffer: Buffer<Bf16>) -> Self {
        Self(Factor::Bf16(buffer))
    }
}

/// Values rounded to bf16.
pub fn to_bf16(x: &Buffer) -> Buffer<Bf16> {
    let mut y = Buffer::scratch(x.card(), x.len());
    Launch::new(x.card(), &ELEMENTWISE, "to_bf16_values").arg(x).arg(&mut y).over(x.len());
    y
}

/// Some rows of a matrix as a product's factor: all of them, or a piece of a vocabulary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub(crate) first: usize,
    pub(crate) num: usize,
    pub(crate) inputs: usize,
}

/// Rows of `x` up to which reading the matrix is all there is to a product.
const FEW: usize = 8;

/// `y = x·Wᵀ (+ bias)`. Few rows go through a kernel that is bound by reading `weight`.
///
/// # Panics
/// If lengths disagree.
pub fn forward(x: &Buffer, weight: &Matrix, bias: Option<&Buffer>, inputs: usize) -> Buffer {
    let [y] = forward_all(x, [(weight, bias)], inputs);
    y
}

/// As [`forward`] for several layers of the same rows, which are rounded once.
///
/// # Panics
/// If lengths disagree.
pub fn forward_all<const N: usize>(
    x: &Buffer,
    layers: [(&Matrix, Option<&Buffer>); N],
    inputs: usize,
) -> [Buffer; N] {
    let rows = x.len() / inputs;
    assert_eq!(rows * inputs, x.len(), "rows of a product");
    let mut rounded = None;
    layers.map(|(weight, bias)| {
        let outputs = weight.len() / inputs;
        assert_eq!(outputs * inputs, weight.len(), "rows of a matrix");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "length of a bias");
        let mut y = Buffer::scratch(weight.card(), rows * outputs);
        if rows <= FEW && inputs.is_multiple_of(8) {
            few_rows(x, (weight, bias), &mut y, inputs);
            return y;
        }
        let all = Rows { first: 0, num: outputs, inputs };
        times_turned(rounded.get_or_insert_with(|| weight.round(x)), weight, all, &mut y, rows);
        if let Some(bias) = bias {
            let launch = Launch::new(weight.card(), &ELEMENTWISE, "add_to_rows");
            launch.arg(&mut y).arg(bias).over_rows(rows * outputs, outputs);
        }
        y
    })
}

fn few_rows(x: &Buffer, (weight, bias): (&Matrix, Option<&Buffer>), y: &mut Buffer, inputs: usize) {
    let kernel = match weight.precision() {
        Precision::F32 => "few_rows_f32",
        Precision::Bf16 => "few_rows_bf16",
    };
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    Launch::new(x.card(), &LINEAR, kernel)
        .arg(x)
        .arg(weight.row(0, inputs))
        .arg(bias)
        .arg(y)
        .arg(int(rows))
        .arg(int(inputs))
        .arg(int(outputs))
        .run(Grid::of(outputs.div_ceil(THREADS as usize / 32)));
}

/// `out [rows, some] = x [rows, inputs] · W[some]ᵀ`.
pub(crate) fn times_turned(
    x: &Rounded,
    weight: &Matrix,
    some: Rows,
    out: &mut Buffer,
    rows: usize,
) {
    x.check(weight);
    run(
        weight.card(),
        &Product {
            m: some.num,
            n: rows,
            k: some.inputs,
            a: weight.row(some.first, some.inputs),
            turn_a: true,
            b: x.address(),
            turn_b: false,
            out: out.address(),
            adds: false,
            precision: weight.precision(),
        },
    );
}

/// `dx [rows, inputs] (+)= dy [rows, some] · W[some]`.
pub(crate) fn times(dy: &Rounded, weight: &Matrix, some: Rows, (dx, adds): (&mut Buffer, bool)) {
    dy.check(weight);
    let rows = dx.len() / some.inputs;
    run(
        weight.card(),
        &Product {
            m: some.inputs,
            n: rows,
            k: some.num,
            a: weight.row(some.first, some.inputs),
            turn_a: false,
            b: dy.address(),
            turn_b: false,
            out: dx.address(),
            adds,
            precision: weight.precision(),
        },
    );
}

/// `dx (+)= dy·W`.
///
/// # Panics
/// If lengths disagree.
pub fn backward(dy: &Buffer, weight: &Matrix, dx: &mut Buffer, inputs: usize, adds: bool) {
    let outputs = weight.len() / inputs;
    check(dx, weight, dy, inputs);
    times(&weight.round(dy), weight, Rows { first: 0, num: outputs, inputs }, (dx, adds));
}

/// `grad [outputs, inputs] += dyᵀ·x`, in the arithmetic of `x`'s card.
///
/// # Panics
/// If lengths disagree.
pub fn weight_gradient(dy: &Buffer, x: &Buffer, inputs: usize, grad: &mut Buffer) {
    let (rows, outputs) = (x.len() / inputs, grad.len() / inputs);
    assert_eq!(rows * outputs, dy.len(), "lengths of a weight's gradient");
    let (of_dy, of_x);
    let (precision, dy, x) = match x.card().arithmetic() {
        Arithmetic::F32 => (Precision::F32, dy.address(), x.address()),
        Arithmetic::Bf16 => {
            (of_dy, of_x) = (to_bf16(dy), to_bf16(x));
            (Precision::Bf16, of_dy.address(), of_x.address())
        }
    };
    add_outer(grad, &Outer { dy, x, precision, rows, outputs, inputs, first: 0 });
}

/// `grad[first ..] [outputs, inputs] += dyᵀ·x`.
pub(crate) struct Outer {
    pub(crate) dy: u64,
    pub(crate) x: u64,
    pub(crate) precision: Precision,
    pub(crate) rows: usize,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    pub(crate) first: usize,
}

pub(crate) fn add_outer(grad: &mut Buffer, outer: &Outer) {
    let &Outer { dy, x, precision, rows, outputs, inputs, first } = outer;
    run(
        grad.card(),
        &Product {
            m: inputs,
            n: outputs,
            k: rows,
            a: x,
            turn_a: false,
            b: dy,
            turn_b: true,
            out: grad.address_of(first * inputs),
            adds: true,
            precision,
        },
    );
}

fn run(card: &Card, product: &Product) {
    if product.m > 0 && product.n > 0 && product.k > 0 {
        card.machine().product(product);
    }
}

fn check(x: &Buffer, weight: &Matrix, y: &Buffer, inputs: usize) {
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    let lengths = (rows * inputs, outputs * inputs, rows * outputs);
    assert_eq!(lengths, (x.len(), weight.len(), y.len()), "lengths of a product");
}
