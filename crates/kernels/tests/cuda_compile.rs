//! Every kernel compiles, without a warning, for the cards of three generations. Needs NVRTC alone, no card; where it
//! is not installed there is nothing to test, unless `SIGHTLINE_NVRTC` says that it must be.

use kernels::cuda::{Architecture, Error, SOURCES, compile};

#[test]
fn every_kernel_compiles_for_every_architecture() {
    for source in SOURCES {
        for (major, minor) in [(8, 0), (9, 0), (10, 0)] {
            match compile(source, Architecture { major, minor }) {
                Ok(code) => assert!(code.starts_with(b"\x7fELF"), "{} gives no code", source.name),
                Err(error @ Error::NoLibrary { .. })
                    if std::env::var_os("SIGHTLINE_NVRTC").is_none() =>
                {
                    println!("not tested: {error}");
                    return;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
