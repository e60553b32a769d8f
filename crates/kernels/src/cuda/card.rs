//! A card: what it is, what it holds, and how work gets there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cuda::compile::Source;
use crate::cuda::driver::Driver;
use crate::cuda::launch::Grid;
use crate::cuda::linear::Product;
use crate::cuda::memory::Pool;

/// Why a card cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A library of CUDA is not there.
    #[error("{library} is not installed (no `{file}` among the system's libraries)")]
    NoLibrary {
        /// What is missing.
        library: &'static str,
        /// The file that was looked for.
        file: &'static str,
    },
    /// The driver sees no such card.
    #[error("there is no card {index}; the driver sees {count}")]
    NoCard {
        /// The number asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The card is too old for the kernels.
    #[error("{name} has compute capability {major}.{minor}; 8.0 or newer is needed")]
    TooOld {
        /// The card's name.
        name: String,
        /// Its capability, major part.
        major: i32,
        /// Its capability, minor part.
        minor: i32,
    },
    /// The driver refused a call.
    #[error("the driver cannot {what}: {reason}")]
    Driver {
        /// What was tried.
        what: &'static str,
        /// What the driver says.
        reason: String,
    },
    /// A kernel does not compile.
    #[error("kernels `{source_name}` do not compile for {architecture}: {log}")]
    Compile {
        /// The file.
        source_name: &'static str,
        /// The architecture.
        architecture: String,
        /// What the compiler says.
        log: String,
    },
}

/// Sizes of a card's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Free now, the buffers kept for reuse included.
    pub free: usize,
    /// All there is.
    pub total: usize,
}

/// What products and attention compute in; sums are f32 in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Inputs as they are.
    F32,
    /// Inputs rounded to bf16, on tensor cores.
    Bf16,
}

/// A card with its stream, its kernels and its free memory. Clones are the same card.
#[derive(Clone)]
pub struct Card {
    shared: Arc<Shared>,
    arithmetic: Arithmetic,
}

struct Shared {
    machine: Box<dyn Machine>,
    pool: Mutex<Pool>,
}

/// What carries out the calls: a driver, or an emulator in its place. Calls are done in their order.
pub(crate) trait Machine: Send + Sync {
    fn name(&self) -> &str;
    fn memory(&self) -> Memory;
    /// How many blocks keep the whole card busy.
    fn num_blocks(&self) -> u32;
    /// Memory of so many bytes; `None` if there is not enough.
    fn allocate(&self, bytes: usize) -> Option<u64>;
    fn release(&self, address: u64);
    fn upload(&self, from: &[u8], to: u64);
    /// Waits for all that came before.
    fn download(&self, from: u64, to: &mut [u8]);
    fn copy(&self, from: u64, to: u64, bytes: usize);
    fn clear(&self, at: u64, bytes: usize);
    /// `args` point at one value each, of the kernel's types.
    fn launch(&self, source: &Source, kernel: &str, grid: Grid, args: &mut [u64]);
    fn product(&self, product: &Product);
    fn synchronize(&self);
}

impl Card {
    /// The card of a number, counted as the driver does.
    ///
    /// # Errors
    /// When a library or the card is missing, or the card is too old.
    pub fn open(index: usize) -> Result<Self, Error> {
        Ok(Self::of(Driver::open(index)?))
    }

    /// A card of so many bytes that runs its kernels on the CPU, thread by thread.
    ///
    /// # Errors
    /// When no C++ compiler is there, or it refuses a kernel.
    #[cfg(feature = "emulator")]
    pub fn emulated(total: usize) -> Result<Self, Error> {
        Ok(Self::of(crate::cuda::emulator::Emulator::open(total)?))
    }

    fn of(machine: impl Machine + 'static) -> Self {
        let shared = Shared { machine: Box::new(machine), pool: Mutex::new(Pool::default()) };
        Self { shared: Arc::new(shared), arithmetic: Arithmetic::F32 }
    }

    /// The same card for values of another arithmetic.
    #[must_use]
    pub fn with(&self, arithmetic: Arithmetic) -> Self {
        Self { shared: Arc::clone(&self.shared), arithmetic }
    }

    /// What products and attention of this card's values compute in.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// What the card is called.
    pub fn name(&self) -> &str {
        self.machine().name()
    }

    /// Memory, free and in all.
    pub fn memory(&self) -> Memory {
        let Memory { free, total } = self.machine().memory();
        Memory { free: free + self.pool(|pool| pool.free_bytes()), total }
    }

    /// Waits until all that was launched is done.
    pub fn synchronize(&self) {
        self.machine().synchronize();
    }

    pub(crate) fn machine(&self) -> &dyn Machine {
        &*self.shared.machine
    }

    pub(crate) fn pool<T>(&self, work: impl FnOnce(&mut Pool) -> T) -> T {
        work(&mut self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PartialEq for Card {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let pool = self.pool.get_mut().unwrap_or_else(PoisonError::into_inner);
        pool.drain().for_each(|address| self.machine.release(address));
    }
}

/// Functions by name, loaded once.
pub(crate) type Loaded<T> = Mutex<HashMap<String, T>>;
