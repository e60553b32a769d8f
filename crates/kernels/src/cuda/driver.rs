//! A real card: the driver's calls and cuBLASLt's.

use std::ffi::{CString, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::PoisonError;

use cudarc::cublaslt::{result as blas, sys as blas_sys};
use cudarc::driver::{result, sys};

use crate::cuda::Error;
use crate::cuda::card::{Loaded, Machine, Memory};
use crate::cuda::compile::{Architecture, Source, cache_folder, compile_cached};
use crate::cuda::launch::Grid;
use crate::cuda::linear::{Precision, Product};

/// Memory that cuBLASLt may use while it works; what its own samples take on recent cards.
const WORKSPACE: usize = 32 << 20;
/// The oldest card whose tensor cores take bf16.
const OLDEST: Architecture = Architecture { major: 8, minor: 0 };

/// One card, one context, one stream.
pub(crate) struct Driver {
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    name: String,
    architecture: Architecture,
    num_blocks: u32,
    cache: Option<PathBuf>,
    modules: Loaded<usize>,
    functions: Loaded<usize>,
    blas: blas_sys::cublasLtHandle_t,
    workspace: u64,
    plans: Loaded<blas_sys::cublasLtMatmulAlgo_t>,
}

// SAFETY: handles of the driver and of cuBLASLt may be used from any thread; calls set the context first,
// and the maps are behind locks.
unsafe impl Send for Driver {}
// SAFETY: as above.
unsafe impl Sync for Driver {}

impl Driver {
    pub(crate) fn open(index: usize) -> Result<Self, Error> {
        // SAFETY: looking for libraries has no other effect than opening them.
        let present = unsafe { [sys::is_culib_present(), blas_sys::is_culib_present()] };
        match present {
            [false, _] => {
                return Err(Error::NoLibrary { library: "a CUDA driver", file: "libcuda.so" });
            }
            [_, false] => {
                return Err(Error::NoLibrary { library: "cuBLASLt", file: "libcublasLt.so" });
            }
            _ => (),
        }
        result::init().map_err(failed("start"))?;
        let count = result::device::get_count().map_err(failed("count the cards"))?;
        let ordinal = i32::try_from(index).ok().filter(|&ordinal| ordinal < count);
        let Some(ordinal) = ordinal else {
            return Err(Error::NoCard { index, count: usize::try_from(count).unwrap_or(0) });
        };
        Self::of(result::device::get(ordinal).map_err(failed("find the card"))?)
    }

    fn of(device: sys::CUdevice) -> Result<Self, Error> {
        use sys::CUdevice_attribute_enum as Attribute;
        let name = result::device::get_name(device).map_err(failed("name the card"))?;
        // SAFETY: the device was given by the driver.
        let attribute = |of| unsafe { result::device::get_attribute(device, of) };
        let capability = |of| attribute(of).map_err(failed("describe the card"));
        let major = capability(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = capability(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        if (major, minor) < (OLDEST.major, OLDEST.minor) {
            return Err(Error::TooOld { name, major, minor });
        }
        let num_blocks = capability(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        // SAFETY: the device was given by the driver; the context is released in `drop`.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failed("open"))?;
        // SAFETY: the context was just retained.
        unsafe { result::ctx::set_current(context) }.map_err(failed("enter its context"))?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(failed("open a stream"))?;
        let blas = blas::create_handle().map_err(|error| Error::Driver {
            what: "start cuBLASLt",
            reason: format!("{error:?}"),
        })?;
        // SAFETY: the context is current.
        let workspace =
            unsafe { result::malloc_sync(WORKSPACE) }.map_err(failed("set memory aside"))?;
        Ok(Self {
            device,
            context,
            stream,
            name,
            architecture: Architecture { major, minor },
            num_blocks: u32::try_from(num_blocks).unwrap_or(1),
            cache: cache_folder(),
            modules: Loaded::default(),
            functions: Loaded::default(),
            blas,
            workspace,
            plans: Loaded::default(),
        })
    }

    /// Makes the context this thread's.
    fn enter(&self) {
        // SAFETY: the context lives as long as `self`.
        self.check("enter its context", unsafe { result::ctx::set_current(self.context) });
    }

    fn check<T>(&self, what: &str, outcome: Result<T, result::DriverError>) -> T {
        outcome.unwrap_or_else(|error| panic!("{} cannot {what}: {error:?}", self.name))
    }

    /// A kernel, compiled and loaded at its first use.
    fn function(&self, source: &Source, kernel: &str) -> sys::CUfunction {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        let function = functions.entry(kernel.to_owned()).or_insert_with(|| {
            let name = CString::new(kernel).expect("kernel names hold no zero");
            // SAFETY: the module is loaded and never unloaded.
            let found = unsafe { result::module::get_function(self.module(source), name) };
            let function = self.check(&format!("find kernel `{kernel}`"), found);
            let allowed = allow_sharing(function, self.device, source.tiled);
            self.check(&format!("give kernel `{kernel}` its memory"), allowed);
            function as usize
        });
        *function as sys::CUfunction
    }

    fn module(&self, source: &Source) -> sys::CUmodule {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let module = modules.entry(source.name.to_owned()).or_insert_with(|| {
            let code = compile_cached(source, self.architecture, self.cache.as_deref())
                .unwrap_or_else(|error| panic!("{error}"));
            // SAFETY: the code was compiled for this card and lives through the call.
            let loaded = unsafe { result::module::load_data(code.as_ptr().cast()) };
            self.check(&format!("load kernels `{}`", source.name), loaded) as usize
        });
        *module as sys::CUmodule
    }

    /// How cuBLASLt would do a product, asked once for each shape.
    fn plan(&self, product: &Product, layouts: &Layouts) -> blas_sys::cublasLtMatmulAlgo_t {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        *plans.entry(product.shape()).or_insert_with(|| {
            let found = layouts.heuristic(self.blas, WORKSPACE);
            found.unwrap_or_else(|error| {
                panic!("{} has no way to do {product:?}: {error:?}", self.name)
            })
        })
    }
}

/// Lets a kernel's blocks share as much memory as the card allows; for kernels whose tiles are sized for it, in
/// place of the cache.
fn allow_sharing(
    function: sys::CUfunction,
    device: sys::CUdevice,
    tiled: bool,
) -> Result<(), result::DriverError> {
    use sys::CUdevice_attribute_enum as Device;
    use sys::CUfunction_attribute_enum as Function;
    // SAFETY: device and function were given by the driver.
    unsafe {
        let most = result::device::get_attribute(
            device,
            Device::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )?;
        let declared = result::function::get_function_attribute(
            function,
            Function::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES,
        )?;
        let set =
            |attribute, value| result::function::set_function_attribute(function, attribute, value);
        set(Function::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, most - declared)?;
        match tiled {
            true => set(Function::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 100),
            false => Ok(()),
        }
    }
}

impl Machine for Driver {
    fn name(&self) -> &str {
        &self.name
    }

    fn memory(&self) -> Memory {
        self.enter();
        let (free, total) = self.check("say what memory it has", result::mem_get_info());
        Memory { free, total }
    }

    fn num_blocks(&self) -> u32 {
        self.num_blocks
    }

    fn allocate(&self, bytes: usize) -> Option<u64> {
        self.enter();
        // SAFETY: the context is current; the address is used as `bytes` bytes and freed by `release`.
        unsafe { result::malloc_sync(bytes) }.ok()
    }

    fn release(&self, address: u64) {
        self.enter();
        // SAFETY: the address came from `allocate`, and the pool hands it out no more.
        self.check("free memory", unsafe { result::free_sync(address) });
    }

    fn upload(&self, from: &[u8], to: u64) {
        self.enter();
        // SAFETY: the buffer at `to` is as long; what is not page-locked is copied before the call returns.
        let done = unsafe { result::memcpy_htod_async(to, from, self.stream) };
        self.check("take values", done);
    }

    fn download(&self, from: u64, to: &mut [u8]) {
        self.enter();
        // SAFETY: the buffer at `from` is as long, and the copy is waited for before `to` is given back.
        let done = unsafe {
            result::memcpy_dtoh_async(to, from, self.stream)
                .and_then(|()| result::stream::synchronize(self.stream))
        };
        self.check("hand over values", done);
    }

    fn copy(&self, from: u64, to: u64, bytes: usize) {
        self.enter();
        // SAFETY: both buffers hold that many bytes there.
        let done = unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream) };
        self.check("copy values", done);
    }

    fn clear(&self, at: u64, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.enter();
        // SAFETY: the buffer holds that many bytes.
        let done = unsafe { result::memset_d8_async(at, 0, bytes, self.stream) };
        self.check("clear memory", done);
    }

    fn launch(&self, source: &Source, kernel: &str, grid: Grid, args: &mut [u64]) {
        self.enter();
        let Grid { blocks: [x, y, z], threads, shared } = grid;
        let function = self.function(source, kernel);
        let mut pointers: Vec<*mut c_void> =
            args.iter_mut().map(|arg| ptr::from_mut(arg).cast()).collect();
        // SAFETY: the arguments are those the kernel declares, in order, each within its eight bytes, and
        // buffers among them are as long as the operation that launches has checked.
        let done = unsafe {
            let (grid, block) = ((x, y, z), (threads, 1, 1));
            result::launch_kernel(function, grid, block, shared, self.stream, &mut pointers)
        };
        self.check(&format!("launch `{kernel}`"), done);
    }

    fn product(&self, product: &Product) {
        self.enter();
        let layouts = Layouts::new(product)
            .unwrap_or_else(|error| panic!("{} cannot describe {product:?}: {error:?}", self.name));
        let plan = self.plan(product, &layouts);
        let (alpha, beta) = (1.0_f32, if product.adds { 1.0_f32 } else { 0.0 });
        let pointer = |address: u64| address as *const c_void;
        // SAFETY: the layouts describe the buffers at these addresses, the scalars live through the call,
        // and the workspace is the stream's alone.
        let done = unsafe {
            blas::matmul(
                self.blas,
                layouts.work,
                ptr::from_ref(&alpha).cast(),
                ptr::from_ref(&beta).cast(),
                pointer(product.a),
                layouts.a,
                pointer(product.b),
                layouts.b,
                pointer(product.out),
                layouts.out,
                product.out as *mut c_void,
                layouts.out,
                &plan,
                self.workspace as *mut c_void,
                WORKSPACE,
                self.stream.cast(),
            )
        };
        if let Err(error) = done {
            panic!("{} cannot do {product:?}: {error:?}", self.name);
        }
    }

    fn synchronize(&self) {
        self.enter();
        // SAFETY: the stream lives as long as `self`.
        self.check("finish its work", unsafe { result::stream::synchronize(self.stream) });
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // SAFETY: nothing uses these handles any more; errors at the end change nothing.
        unsafe {
            let _ = result::ctx::set_current(self.context);
            let _ = result::stream::synchronize(self.stream);
            let _ = result::free_sync(self.workspace);
            let _ = blas::destroy_handle(self.blas);
            let _ = result::stream::destroy(self.stream);
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

/// What cuBLASLt wants to know of a product. It sees matrices column by column, so ours turned over.
struct Layouts {
    work: blas_sys::cublasLtMatmulDesc_t,
    a: blas_sys::cublasLtMatrixLayout_t,
    b: blas_sys::cublasLtMatrixLayout_t,
    out: blas_sys::cublasLtMatrixLayout_t,
}

impl Layouts {
    fn new(product: &Product) -> Result<Self, blas::CublasError> {
        use blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        use blas_sys::cudaDataType_t::{CUDA_R_16BF, CUDA_R_32F};
        let kind = match product.precision {
            Precision::F32 => CUDA_R_32F,
            Precision::Bf16 => CUDA_R_16BF,
        };
        let layout = |kind, [rows, columns]: [usize; 2]| {
            blas::create_matrix_layout(kind, rows as u64, columns as u64, rows as i64)
        };
        let layouts = Self {
            work: blas::create_matmul_desc(CUBLAS_COMPUTE_32F, CUDA_R_32F)?,
            a: layout(kind, product.stored_a())?,
            b: layout(kind, product.stored_b())?,
            out: layout(CUDA_R_32F, [product.m, product.n])?,
        };
        layouts.turn(
            blas_sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA,
            product.turn_a,
        )?;
        layouts.turn(
            blas_sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSB,
            product.turn_b,
        )?;
        Ok(layouts)
    }

    fn turn(
        &self,
        which: blas_sys::cublasLtMatmulDescAttributes_t,
        turned: bool,
    ) -> Result<(), blas::CublasError> {
        let value = i32::from(turned);
        // SAFETY: the description is alive, and the attribute is of four bytes.
        unsafe {
            let value = ptr::from_ref(&value).cast();
            blas::set_matmul_desc_attribute(self.work, which, value, size_of::<i32>())
        }
    }

    fn heuristic(
        &self,
        handle: blas_sys::cublasLtHandle_t,
        workspace: usize,
    ) -> Result<blas_sys::cublasLtMatmulAlgo_t, blas::CublasError> {
        use blas_sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        let preference = blas::create_matmul_pref()?;
        // SAFETY: all descriptions are alive; the attribute is of eight bytes.
        unsafe {
            let size = ptr::from_ref(&workspace).cast();
            let said = blas::set_matmul_pref_attribute(
                preference,
                CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                size,
                size_of::<usize>(),
            );
            let found = said.and_then(|()| {
                let Self { work, a, b, out } = *self;
                blas::get_matmul_algo_heuristic(handle, work, a, b, out, out, preference)
            });
            let _ = blas::destroy_matmul_pref(preference);
            found.map(|found| found.algo)
        }
    }
}

impl Drop for Layouts {
    fn drop(&mut self) {
        // SAFETY: the handles are alive and not used again.
        unsafe {
            let _ = blas::destroy_matrix_layout(self.a);
            let _ = blas::destroy_matrix_layout(self.b);
            let _ = blas::destroy_matrix_layout(self.out);
            let _ = blas::destroy_matmul_desc(self.work);
        }
    }
}

fn failed(what: &'static str) -> impl Fn(result::DriverError) -> Error {
    move |error| Error::Driver { what, reason: format!("{error:?}") }
}
