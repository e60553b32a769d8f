//! Cache of frozen vision features: the encoder's output for an image never changes.
//!
//! ```text
//! key = sha256(image bytes + preprocessing + encoder) ─► RAM (bounded) ─► disk ─► compute, then both
//! ```
//!
//! Files are written beside their place and moved, so a reader sees a whole one or none; a damaged
//! file counts as a miss and is replaced. A disk that refuses writes costs the disk cache, not the run.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use tensor::{Device, Tensor};

use crate::vlm::Vlm;
use crate::weights::{Checkpoint, Stored, TensorSpec, save_file_unsynced};

const TENSOR: &str = "features";

/// What an image's features depend on, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeatureKey([u8; 32]);

/// What a cache did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheCounts {
    /// Found in RAM.
    pub ram_hits: u64,
    /// Read from disk.
    pub disk_hits: u64,
    /// Computed.
    pub misses: u64,
    /// Bytes held in RAM now.
    pub ram_bytes: u64,
    /// Bytes read from disk.
    pub read_bytes: u64,
    /// Bytes written to disk.
    pub written_bytes: u64,
    /// Why nothing is written to disk any more, if so.
    pub disk_error: Option<String>,
}

/// Features of images, in RAM up to a bound and on disk.
pub struct FeatureCache {
    folder: Option<PathBuf>,
    max_ram_bytes: u64,
    entries: HashMap<FeatureKey, Entry>,
    /// Keys by when they were last used.
    order: BTreeMap<u64, FeatureKey>,
    clock: u64,
    counts: CacheCounts,
}

struct Entry {
    features: Arc<Tensor>,
    used: u64,
}

impl FeatureKey {
    /// The key of an image. `image` identifies its bytes and what is done to them before the
    /// encoder (`ModelImage::key` of crate `preprocess`); `encoder` is [`Vlm::encoder_hash`].
    pub fn new(image: &[u8; 32], encoder: &[u8; 32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(image);
        hash.update(encoder);
        Self(hash.finalize().into())
    }

    fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl CacheCounts {
    /// Share of look-ups that computed nothing; 0 before the first.
    pub fn hit_rate(&self) -> f64 {
        let hits = self.ram_hits + self.disk_hits;
        hits as f64 / (hits + self.misses).max(1) as f64
    }
}

impl FeatureCache {
    /// A cache that holds at most `max_ram_bytes` in memory and, if `folder` is given, everything
    /// there.
    pub fn new(folder: Option<&Path>, max_ram_bytes: u64) -> Self {
        Self {
            folder: folder.map(Path::to_owned),
            max_ram_bytes,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            clock: 0,
            counts: CacheCounts::default(),
        }
    }

    /// The features under a key, from RAM, from disk, or from `compute`.
    ///
    /// # Errors
    /// Those of `compute`. A cache that cannot be read or written is none.
    pub fn get_or_compute<E>(
        &mut self,
        key: FeatureKey,
        compute: impl FnOnce() -> Result<Tensor, E>,
    ) -> Result<Arc<Tensor>, E> {
        if let Some(features) = self.recall(key) {
            self.counts.ram_hits += 1;
            return Ok(features);
        }
        if let Some(features) = self.path(key).and_then(|path| read(&path)) {
            self.counts.disk_hits += 1;
            self.counts.read_bytes += bytes(&features);
            return Ok(self.keep(key, features));
        }
        // Main memory is what a bound is set on; a card's is for work.
        let features = compute()?.to(&Device::Cpu);
        self.counts.misses += 1;
        self.write(key, &features);
        Ok(self.keep(key, features))
    }

    /// Whether there is something under a key; what lies on disk may still prove damaged.
    pub fn holds(&self, key: FeatureKey) -> bool {
        self.entries.contains_key(&key) || self.path(key).is_some_and(|path| path.exists())
    }

    /// What the cache did so far.
    pub fn counts(&self) -> &CacheCounts {
        &self.counts
    }

    fn recall(&mut self, key: FeatureKey) -> Option<Arc<Tensor>> {
        let entry = self.entries.get_mut(&key)?;
        self.clock += 1;
        self.order.remove(&entry.used);
        self.order.insert(self.clock, key);
        entry.used = self.clock;
        Some(Arc::clone(&entry.features))
    }

    /// Puts features into RAM and, over the bound, lets go of those unused for longest.
    fn keep(&mut self, key: FeatureKey, features: Tensor) -> Arc<Tensor> {
        let features = Arc::new(features);
        self.clock += 1;
        self.order.insert(self.clock, key);
        self.counts.ram_bytes += bytes(&features);
        self.entries.insert(key, Entry { features: Arc::clone(&features), used: self.clock });
        while self.counts.ram_bytes > self.max_ram_bytes {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.counts.ram_bytes -= bytes(&entry.features);
            }
        }
        features
    }

    fn write(&mut self, key: FeatureKey, features: &Tensor) {
        let Some(path) = self.path(key).filter(|_| self.counts.disk_error.is_none()) else {
            return;
        };
        let spec = TensorSpec::new(TENSOR, features.shape(), Stored::F32);
        match save_file_unsynced(&path, &[spec], |_| Ok(features.to_vec())) {
            Ok(()) => self.counts.written_bytes += bytes(features),
            Err(error) => self.counts.disk_error = Some(error.to_string()),
        }
    }

    /// Spread over 256 folders, as file systems like it.
    fn path(&self, key: FeatureKey) -> Option<PathBuf> {
        let name = key.hex();
        let folder = self.folder.as_ref()?;
        Some(folder.join(&name[..2]).join(format!("{}.safetensors", &name[2..])))
    }
}

impl Vlm {
    /// A hash of all that features depend on besides pixels: the encoder's configuration and
    /// weights as they are held in memory, the layer used and the unshuffle.
    pub fn encoder_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        if let Some(side) = &self.images {
            hash.update(side.encoder.settings());
            for (name, part) in side.encoder.parts() {
                hash.update(name);
                hash.update(bytemuck::cast_slice::<f32, u8>(&part.values()));
            }
        }
        hash.finalize().into()
    }
}

/// Features from a file; `None` if there is none or it is damaged.
fn read(path: &Path) -> Option<Tensor> {
    let mut checkpoint = Checkpoint::open(path).ok()?;
    let shape = checkpoint.shape(TENSOR).ok()?;
    Some(Tensor::from_vec(checkpoint.take(TENSOR, &shape).ok()?, &shape))
}

fn bytes(features: &Tensor) -> u64 {
    4 * features.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn key(image: u8) -> FeatureKey {
        FeatureKey::new(&[image; 32], &[9; 32])
    }

    /// Four values, 16 bytes.
    fn features(image: u8) -> Tensor {
        Tensor::from_vec(vec![f32::from(image) + 0.1; 4], &[2, 2])
    }

    fn get(cache: &mut FeatureCache, image: u8) -> Arc<Tensor> {
        cache.get_or_compute(key(image), || Ok::<_, Error>(features(image))).unwrap()
    }

    #[test]
    fn ram_holds_the_most_recent() {
        let mut cache = FeatureCache::new(None, 32);
        for image in [1, 2, 1, 3, 1, 2] {
            assert_eq!(*get(&mut cache, image), features(image));
        }
        // 3 displaced 2, which was then computed again.
        let counts = cache.counts();
        assert_eq!((counts.ram_hits, counts.misses, counts.ram_bytes), (2, 4, 32));
        assert!((counts.hit_rate() - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn disk_outlives_the_cache_and_mends_damage() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = FeatureCache::new(Some(folder.path()), 0);
        get(&mut cache, 1);
        assert_eq!((cache.counts().written_bytes, cache.counts().ram_bytes), (16, 0));
        let mut cache = FeatureCache::new(Some(folder.path()), 1000);
        assert_eq!(*get(&mut cache, 1), features(1));
        get(&mut cache, 1);
        let counts = cache.counts();
        assert_eq!((counts.disk_hits, counts.ram_hits, counts.misses), (1, 1, 0));
        assert_eq!(counts.read_bytes, 16);
        let path = cache.path(key(1)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let mut cache = FeatureCache::new(Some(folder.path()), 0);
        get(&mut cache, 1);
        get(&mut cache, 1);
        assert_eq!((cache.counts().misses, cache.counts().disk_hits), (1, 1));
    }

    #[test]
    fn a_disk_that_refuses_costs_the_disk_cache_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut cache = FeatureCache::new(Some(file.path()), 1000);
        assert_eq!(*get(&mut cache, 1), features(1));
        assert_eq!(*get(&mut cache, 1), features(1));
        assert!(cache.counts().disk_error.is_some());
        assert_eq!((cache.counts().ram_hits, cache.counts().misses), (1, 1));
    }

    #[test]
    fn an_error_of_the_computation_is_passed_on_and_not_cached() {
        let mut cache = FeatureCache::new(None, 1000);
        let failing = || Err(Error::Input { what: "image", reason: "broken".to_owned() });
        cache.get_or_compute(key(1), failing).unwrap_err();
        assert_eq!(*get(&mut cache, 1), features(1));
        assert_eq!(cache.counts().misses, 1);
    }

    #[test]
    fn keys_depend_on_image_and_encoder() {
        assert_ne!(key(1), key(2));
        assert_ne!(FeatureKey::new(&[1; 32], &[2; 32]), FeatureKey::new(&[2; 32], &[1; 32]));
    }
}
