//! What is done for a request away from the model's thread: text to ids, images to pixels.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse as _, Response};
use preprocess::ModelImage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Duration, timeout};

use crate::refusal::Refusal;

/// The longest that a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(120);
/// Memory for images that are being decoded, and for pixels that the model has not taken yet.
const MEBIBYTES: usize = 1024;
/// Memory that a decoded pixel takes at most, in bytes, with the copies that are made of it.
const BYTES_PER_PIXEL: usize = 16;

/// A body that came in time.
pub(crate) struct Arrived(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Arrived {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        match timeout(BODY_TIME, Bytes::from_request(request, state)).await {
            Ok(Ok(body)) => Ok(Self(body)),
            Ok(Err(rejection)) => Err(rejection.into_response()),
            Err(_) => Err(Refusal::late().into_response()),
        }
    }
}

/// A request's place among those that are answered.
pub(crate) type Place = OwnedSemaphorePermit;

/// Does `work` on another thread. The place is taken for as long as that lasts, whether or not the client waits.
pub(crate) async fn aside<T: Send + 'static>(
    place: Place,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, Place), Refusal> {
    let done = spawn_blocking(move || (work(), place)).await;
    done.map_err(|error| Refusal::failed(error.to_string()))
}

/// Pixels of a prompt's images, as the encoder takes them.
#[derive(Default)]
pub(crate) struct Pixels {
    /// Those of each image.
    pub(crate) values: Vec<Vec<f32>>,
    /// Given back when the encoder has taken them.
    pub(crate) memory: Option<OwnedSemaphorePermit>,
}

/// The memory that images may take before they are encoded: a few at a time have room in it, the largest alone.
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MEBIBYTES)))
    }

    /// Decodes and cuts images, as soon as there is room for that.
    pub(crate) async fn pixels(
        &self,
        place: Place,
        images: &[ModelImage],
    ) -> Result<(Pixels, Place), Refusal> {
        if images.is_empty() {
            return Ok((Pixels::default(), place));
        }
        let (images, [most, lasting]) = (images.to_vec(), mebibytes(images));
        let memory = self.0.clone().acquire_many_owned(most).await;
        let mut memory = memory.map_err(|error| Refusal::failed(error.to_string()))?;
        let decode = move || -> Result<Pixels, preprocess::Error> {
            let values = images.iter().map(ModelImage::pixel_values).collect::<Result<_, _>>()?;
            Ok(Pixels { values, memory: memory.split(lasting as usize) })
        };
        let (pixels, place) = aside(place, decode).await?;
        let refuse = |error: preprocess::Error| Refusal::invalid("messages", error.to_string());
        Ok((pixels.map_err(refuse)?, place))
    }
}

/// Memory that images take while they are decoded one after the other, and that of their pixels; no more than there is.
fn mebibytes(images: &[ModelImage]) -> [u32; 2] {
    let file = |image: &ModelImage| image.file().width() * image.file().height() * BYTES_PER_PIXEL;
    let decoded = images.iter().map(file).max().unwrap_or(0);
    let values = |image: &ModelImage| image.shape().iter().product::<usize>() * size_of::<f32>();
    let values: usize = images.iter().map(values).sum();
    [decoded + values, values].map(|bytes| bytes.div_ceil(1 << 20).min(MEBIBYTES) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use preprocess::{ImageFile, ImageSettings, VisionSettings};

    #[test]
    fn the_largest_image_has_room_alone_and_a_small_one_with_many() {
        let config = serde_json::json!({
            "model_type": "internvl_chat", "force_image_size": 448, "downsample_ratio": 0.5,
            "dynamic_image_size": true, "min_dynamic_patch": 1, "max_dynamic_patch": 12,
            "use_thumbnail": true, "vision_config": { "image_size": 448, "patch_size": 14 },
        });
        let settings = ImageSettings::from_config(&config).unwrap().unwrap();
        let settings = VisionSettings::from(settings);
        let image = |width, height| settings.image(ImageFile::grey(width, height), 1).unwrap();
        // 448 x 448 x 3 numbers of four bytes.
        assert_eq!(mebibytes(&[image(448, 448)]), [6, 3]);
        assert_eq!(mebibytes(&[image(448, 448), image(448, 448)]), [8, 5]);
        assert_eq!(mebibytes(&[image(13_000, 13_000)])[0], 1024);
    }
}
