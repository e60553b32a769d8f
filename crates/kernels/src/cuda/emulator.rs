//! A card that is not there: kernels compiled by the C++ compiler, memory of the process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, ptr, slice};

use libloading::Library;
use sha2::{Digest, Sha256};

use crate::cuda::Error;
use crate::cuda::card::{Loaded, Machine, Memory};
use crate::cuda::compile::{HEADERS, Source};
use crate::cuda::launch::Grid;
use crate::cuda::linear::{Bf16, Precision, Product};

/// What makes CUDA C compile as C++.
const EMULATOR: &str = include_str!("../../cuda/emulator.h");
/// Values of one kind of memory are far apart on a card; here a block of eight bytes is enough.
const GRAIN: usize = 64;

/// Blocks in the kernel's order, as the C++ side reads them.
#[repr(C)]
struct Call {
    blocks: [u32; 3],
    threads: u32,
    shared: u32,
}

type Kernel = unsafe extern "C" fn(*const Call, *mut *mut c_void);

pub(crate) struct Emulator {
    /// Bytes that stand for the card's memory.
    total: usize,
    libraries: Mutex<HashMap<&'static str, Library>>,
    held: Loaded<(Vec<u128>, usize)>,
}

/// The C++ side has one block that runs, and libraries are built one after another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Emulator {
    pub(crate) fn open(total: usize) -> Result<Self, Error> {
        let found = Command::new("c++").arg("--version").output();
        found.map_err(|error| failed(&format!("c++: {error}")))?;
        Ok(Self { total, libraries: Mutex::default(), held: Loaded::default() })
    }

    /// A kernel's launcher, built at its first use.
    fn kernel(&self, source: &Source, kernel: &str) -> Result<Kernel, Error> {
        let mut libraries = self.libraries.lock().unwrap_or_else(PoisonError::into_inner);
        let library = match libraries.entry(source.name) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => {
                // SAFETY: the library is ours, just built, and runs nothing when it is loaded.
                let library = unsafe { Library::new(built(source)?) };
                place.insert(library.map_err(|error| failed(&error.to_string()))?)
            }
        };
        // SAFETY: every exported launcher has this type, and libraries stay loaded.
        let symbol = unsafe { library.get::<Kernel>(format!("launch_{kernel}").as_bytes()) };
        symbol.map(|symbol| *symbol).map_err(|error| failed(&error.to_string()))
    }
}

/// A source as a library, built unless one of the same text is there.
fn built(source: &Source) -> Result<PathBuf, Error> {
    let mut hash = Sha256::new();
    let texts = HEADERS.iter().map(|(_, text)| *text).chain([EMULATOR, source.text]);
    texts.chain(source.define).for_each(|text| hash.update(text));
    let digest: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let folder =
        std::env::temp_dir().join("sightline-emulator").join(format!("{}-{digest}", source.name));
    let library = folder.join("kernels.so");
    if library.is_file() {
        return Ok(library);
    }
    fs::create_dir_all(&folder).map_err(|error| failed(&error.to_string()))?;
    let file = |name: &str, text: &str| fs::write(folder.join(name), text);
    for (name, text) in HEADERS.iter().chain(&[("emulator.h", EMULATOR)]) {
        file(name, text).map_err(|error| failed(&error.to_string()))?;
    }
    let code = folder.join(format!("{}.cu", source.name));
    file(&format!("{}.cu", source.name), source.text)
        .map_err(|error| failed(&error.to_string()))?;
    compile(&code, source.define, &library)?;
    Ok(library)
}

fn compile(code: &Path, define: Option<&str>, library: &Path) -> Result<(), Error> {
    let partial = library.with_extension(format!("{}.part", std::process::id()));
    let output = Command::new("c++")
        .args([
            "-std=c++17",
            "-O1",
            "-fno-strict-aliasing",
            "-shared",
            "-fPIC",
            "-DEMULATED",
            "-x",
            "c++",
        ])
        .args(define)
        .arg(code)
        .arg("-o")
        .arg(&partial)
        .output()
        .map_err(|error| failed(&format!("c++: {error}")))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr)));
    }
    fs::rename(&partial, library).map_err(|error| failed(&error.to_string()))
}

fn failed(reason: &str) -> Error {
    Error::Driver { what: "be emulated", reason: reason.to_owned() }
}

impl Machine for Emulator {
    fn name(&self) -> &'static str {
        "an emulated card"
    }

    fn memory(&self) -> Memory {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let used: usize = held.values().map(|(_, bytes)| bytes).sum();
        Memory { free: self.total - used, total: self.total }
    }

    fn num_blocks(&self) -> u32 {
        2
    }

    fn allocate(&self, bytes: usize) -> Option<u64> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let used: usize = held.values().map(|(_, bytes)| bytes).sum();
        if used + bytes > self.total {
            return None;
        }
        // What was never written reads as something that spoils every result.
        let mut memory = vec![u128::MAX; bytes.div_ceil(size_of::<u128>()) + GRAIN / 16];
        let address = memory.as_mut_ptr() as u64;
        held.insert(address.to_string(), (memory, bytes));
        Some(address)
    }

    fn release(&self, address: u64) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&address.to_string());
    }

    fn upload(&self, from: &[u8], to: u64) {
        // SAFETY: the buffer at `to` is as long, and nothing else is using it.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, from.len()) };
    }

    fn download(&self, from: u64, to: &mut [u8]) {
        // SAFETY: the buffer at `from` is as long.
        unsafe { ptr::copy_nonoverlapping(from as *const u8, to.as_mut_ptr(), to.len()) };
    }

    fn copy(&self, from: u64, to: u64, bytes: usize) {
        // SAFETY: both buffers hold that many bytes there.
        unsafe { ptr::copy(from as *const u8, to as *mut u8, bytes) };
    }

    fn clear(&self, at: u64, bytes: usize) {
        // SAFETY: the buffer holds that many bytes.
        unsafe { ptr::write_bytes(at as *mut u8, 0, bytes) };
    }

    fn launch(&self, source: &Source, kernel: &str, grid: Grid, args: &mut [u64]) {
        let _one = one_at_a_time();
        let function = self.kernel(source, kernel);
        let function = function.unwrap_or_else(|error| panic!("kernel `{kernel}`: {error}"));
        let Grid { blocks, threads, shared } = grid;
        let call = Call { blocks, threads, shared };
        let mut pointers: Vec<*mut c_void> =
            args.iter_mut().map(|arg| ptr::from_mut(arg).cast()).collect();
        // SAFETY: the arguments are those the kernel declares, in order.
        unsafe { function(&call, pointers.as_mut_ptr()) };
    }

    fn product(&self, product: &Product) {
        match product.precision {
            Precision::F32 => multiply::<f32>(product, |value| value),
            Precision::Bf16 => {
                multiply::<Bf16>(product, |value| half::bf16::from_bits(value.0).to_f32())
            }
        }
    }

    fn synchronize(&self) {}
}

/// The product as its definition says it.
fn multiply<T: Copy>(product: &Product, whole: impl Fn(T) -> f32) {
    let &Product { m, n, k, a, turn_a, b, turn_b, out, adds, .. } = product;
    // SAFETY: the factors hold m·k and k·n values, the result m·n.
    let (a, b, out) = unsafe {
        (
            slice::from_raw_parts(a as *const T, m * k),
            slice::from_raw_parts(b as *const T, k * n),
            slice::from_raw_parts_mut(out as *mut f32, m * n),
        )
    };
    for column in 0..n {
        for row in 0..m {
            let sum: f32 = (0..k)
                .map(|i| {
                    let a = if turn_a { a[i + row * k] } else { a[row + i * m] };
                    let b = if turn_b { b[column + i * n] } else { b[i + column * k] };
                    whole(a) * whole(b)
                })
                .sum();
            let to = &mut out[row + column * m];
            *to = if adds { *to + sum } else { sum };
        }
    }
}
