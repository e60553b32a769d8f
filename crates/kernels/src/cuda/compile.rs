//! Kernel sources, and what NVRTC makes of them.
//!
//! A source is compiled for the architecture of the card that is there, not to PTX: a driver older than the
//! compiler would refuse that. What was compiled is kept on disk, named by source, architecture and compiler,
//! so that only the first run on a machine compiles.

use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use std::{fs, ptr};

use cudarc::nvrtc::{result, sys};
use sha2::{Digest, Sha256};

use crate::cuda::Error;

/// A file of kernels.
#[derive(Debug)]
pub struct Source {
    /// Its name, without the ending.
    pub name: &'static str,
    /// CUDA C, which includes headers of ours alone.
    pub text: &'static str,
    /// What is defined for it: which of its kernels are compiled.
    pub define: Option<&'static str>,
    /// Whether blocks work on tiles in shared memory, so that it matters more than the cache.
    pub tiled: bool,
}

/// All kernels, for whoever checks that they compile.
pub static SOURCES: [&Source; 14] = [
    &ELEMENTWISE,
    &ROWS,
    &NORM,
    &HEAD,
    &LINEAR,
    &ATTENTION_F32,
    &ATTENTION_DECODE,
    &ATTENTION_BF16[0],
    &ATTENTION_BF16[1],
    &ATTENTION_BF16[2],
    &ATTENTION_BF16[3],
    &ATTENTION_BF16[4],
    &ATTENTION_BF16[5],
    &ATTENTION_BF16[6],
];

macro_rules! source {
    ($name:literal, tiled: $tiled:literal) => {
        Source {
            name: $name,
            text: include_str!(concat!("../../cuda/", $name, ".cu")),
            define: None,
            tiled: $tiled,
        }
    };
    // The kernels of one width, as all of them take a minute to compile.
    ($name:literal, $width:literal) => {
        Source {
            name: concat!($name, "_", $width),
            text: include_str!(concat!("../../cuda/", $name, ".cu")),
            define: Some(concat!("-DATTENTION_WIDTH=", $width)),
            tiled: true,
        }
    };
}

pub(crate) static ELEMENTWISE: Source = source!("elementwise", tiled: false);
pub(crate) static ROWS: Source = source!("rows", tiled: false);
pub(crate) static NORM: Source = source!("norm", tiled: false);
pub(crate) static HEAD: Source = source!("head", tiled: false);
pub(crate) static LINEAR: Source = source!("linear", tiled: false);
pub(crate) static ATTENTION_F32: Source = source!("attention_f32", tiled: true);
pub(crate) static ATTENTION_DECODE: Source = source!("attention_decode", tiled: true);
/// By padded width of a head, as `attention` names them; the first takes any.
pub(crate) static ATTENTION_BF16: [Source; 7] = [
    source!("attention_bf16", 0),
    source!("attention_bf16", 16),
    source!("attention_bf16", 32),
    source!("attention_bf16", 64),
    source!("attention_bf16", 80),
    source!("attention_bf16", 96),
    source!("attention_bf16", 128),
];

/// What sources include, by file name.
pub(crate) const HEADERS: [(&str, &str); 3] = [
    ("common.cuh", include_str!("../../cuda/common.cuh")),
    ("mma.cuh", include_str!("../../cuda/mma.cuh")),
    ("attention.cuh", include_str!("../../cuda/attention.cuh")),
];

/// A compute capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// The part before the point.
    pub major: i32,
    /// The part after it.
    pub minor: i32,
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sm_{}{}", self.major, self.minor)
    }
}

/// Machine code of a source for an architecture.
///
/// # Errors
/// When NVRTC is not installed, or refuses the source: then with what it says.
pub fn compile(source: &Source, architecture: Architecture) -> Result<Vec<u8>, Error> {
    // SAFETY: looking for a library has no other effect than opening it.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::NoLibrary { library: "NVRTC", file: "libnvrtc.so" });
    }
    let program = Program::new(source)?;
    let mut options = vec![
        format!("--gpu-architecture={architecture}"),
        "--std=c++17".to_owned(),
        "-default-device".to_owned(),
    ];
    options.extend(source.define.map(str::to_owned));
    // SAFETY: the program is alive.
    let compiled = unsafe { result::compile_program(program.0, &options) };
    let log = program.log();
    match compiled {
        Ok(()) if log.contains("warning") => Err(program.refused(source, architecture, log)),
        Ok(()) => program.code(),
        Err(_) => Err(program.refused(source, architecture, log)),
    }
}

/// As [`compile`], from the cache in `folder` where it has the code. A cache that cannot be read or written
/// costs time, nothing else.
pub(crate) fn compile_cached(
    source: &Source,
    architecture: Architecture,
    folder: Option<&Path>,
) -> Result<Vec<u8>, Error> {
    let path = folder.map(|folder| folder.join(file_name(source, architecture)));
    if let Some(code) = path.as_ref().and_then(|path| fs::read(path).ok()) {
        return Ok(code);
    }
    let code = compile(source, architecture)?;
    if let Some(path) = path {
        // Renamed into place: another process reads a whole file or none.
        let partial = path.with_extension(format!("{}.part", std::process::id()));
        let folder = path.parent().map(fs::create_dir_all);
        let written = folder.transpose().and_then(|_| fs::write(&partial, &code));
        let _ = written.and_then(|()| fs::rename(&partial, &path));
    }
    Ok(code)
}

/// Where compiled kernels are kept: `$XDG_CACHE_HOME/sightline/kernels`, by default under `~/.cache`.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(base.or_else(home)?.join("sightline").join("kernels"))
}

/// Names everything that the code depends on.
fn file_name(source: &Source, architecture: Architecture) -> String {
    let mut hash = Sha256::new();
    HEADERS.iter().for_each(|(_, text)| hash.update(text));
    hash.update(source.text);
    let digest: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{architecture}-{}-{digest}.cubin", source.name, version())
}

/// The compiler's version.
fn version() -> String {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both places live through the call. Whoever names a file has found the library or has the file.
    let status = unsafe {
        if !sys::is_culib_present() {
            return "none".to_owned();
        }
        sys::nvrtcVersion(&mut major, &mut minor)
    };
    match status {
        sys::nvrtcResult::NVRTC_SUCCESS => format!("{major}.{minor}"),
        _ => "unknown".to_owned(),
    }
}

/// A program of NVRTC, destroyed when dropped.
struct Program(sys::nvrtcProgram);

impl Program {
    fn new(source: &Source) -> Result<Self, Error> {
        let text = |text: &str| CString::new(text).expect("sources hold no zero");
        let (code, name) = (text(source.text), text(source.name));
        let headers = HEADERS.map(|(name, content)| (text(name), text(content)));
        let names: Vec<*const c_char> = headers.iter().map(|(name, _)| name.as_ptr()).collect();
        let contents: Vec<*const c_char> = headers.iter().map(|(_, text)| text.as_ptr()).collect();
        let mut program = ptr::null_mut();
        // SAFETY: all strings end in a zero and live through the call, which copies them.
        let status = unsafe {
            sys::nvrtcCreateProgram(
                &mut program,
                code.as_ptr(),
                name.as_ptr(),
                HEADERS.len() as i32,
                contents.as_ptr(),
                names.as_ptr(),
            )
        };
        match status {
            sys::nvrtcResult::NVRTC_SUCCESS => Ok(Self(program)),
            other => Err(failed("begin a compilation", &format!("{other:?}"))),
        }
    }

    fn log(&self) -> String {
        // SAFETY: the program is alive.
        let log = unsafe { result::get_program_log(self.0) }.unwrap_or_default();
        let bytes: Vec<u8> = log.iter().map(|&byte| byte as u8).collect();
        match CStr::from_bytes_until_nul(&bytes) {
            Ok(text) => text.to_string_lossy().trim().to_owned(),
            Err(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        }
    }

    fn code(&self) -> Result<Vec<u8>, Error> {
        let mut size = 0;
        // SAFETY: the program is alive and compiled, and the code fits the vector.
        unsafe {
            let status = sys::nvrtcGetCUBINSize(self.0, &mut size);
            let mut code = vec![0_u8; size];
            let status = match status {
                sys::nvrtcResult::NVRTC_SUCCESS => {
                    sys::nvrtcGetCUBIN(self.0, code.as_mut_ptr().cast())
                }
                other => other,
            };
            match status {
                sys::nvrtcResult::NVRTC_SUCCESS => Ok(code),
                other => Err(failed("hand over compiled code", &format!("{other:?}"))),
            }
        }
    }

    fn refused(&self, source: &Source, architecture: Architecture, log: String) -> Error {
        Error::Compile { source_name: source.name, architecture: architecture.to_string(), log }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program is alive and not used again.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

fn failed(what: &'static str, reason: &str) -> Error {
    Error::Driver { what, reason: reason.to_owned() }
}
