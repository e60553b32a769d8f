//! Frames of a video: a folder of images, or a file that ffmpeg reads.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::image::{Image, ImageStore, inside, sha256};

/// Names of video files end so.
const VIDEOS: [&str; 5] = ["mp4", "mkv", "webm", "avi", "mov"];

/// Names of frames end so.
const FRAMES: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];

/// How frames are taken from videos.
#[derive(Clone, Debug)]
pub struct FrameSource {
    /// Frames of each video, spread evenly over it.
    pub num_frames: usize,
    /// Where frames taken from files are kept.
    pub folder: PathBuf,
    /// The program that takes them.
    pub ffmpeg: PathBuf,
}

/// The part of a video that an item is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    /// Seconds at its start.
    pub(crate) start: f64,
    /// Seconds at its end.
    pub(crate) end: f64,
    /// Frames of a second in folders; of those whose rate is not known all count.
    pub(crate) rate: Option<f64>,
}

impl FrameSource {
    /// So many frames of the video of this name, or of a part of it: from a folder of that name, else from a file.
    ///
    /// # Errors
    /// When there is neither, or ffmpeg fails or is missing.
    pub(crate) fn frames(
        &self,
        images: &ImageStore,
        table: &Path,
        name: &str,
        span: Option<Span>,
    ) -> Result<Vec<Image>, String> {
        let folder = table.parent().unwrap_or(Path::new(""));
        let name = inside(name)?;
        let names = [name.to_owned(), name.with_extension("")];
        let places = || {
            ["", "video", "videos", "frames"]
                .into_iter()
                .flat_map(|place| names.iter().map(move |name| folder.join(place).join(name)))
        };
        if let Some(frames) = places().find(|path| path.is_dir()) {
            return self.of_folder(images, &frames, span);
        }
        let with_end = || {
            let ends = VIDEOS.iter();
            places().chain(places().flat_map(move |path| {
                ends.clone().map(move |end| path.with_extension(end)).collect::<Vec<_>>()
            }))
        };
        match with_end().find(|path| path.is_file()) {
            Some(file) => self.of_file(images, &file, span),
            None => Err(format!(
                "{}: neither a folder of frames nor a video",
                folder.join(name).display()
            )),
        }
    }

    fn of_folder(
        &self,
        images: &ImageStore,
        folder: &Path,
        span: Option<Span>,
    ) -> Result<Vec<Image>, String> {
        let named = |reason: String| format!("{}: {reason}", folder.display());
        let entries = std::fs::read_dir(folder).map_err(|error| named(error.to_string()))?;
        let is_frame = |path: &PathBuf| {
            let end = path.extension().map(|end| end.to_string_lossy().to_lowercase());
            end.is_some_and(|end| FRAMES.contains(&end.as_str()))
        };
        let mut frames: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(is_frame).collect();
        if frames.is_empty() {
            return Err(named("no frames".to_owned()));
        }
        frames.sort_by_key(|path| natural(&path.file_name().unwrap_or_default().to_string_lossy()));
        let part = span.map_or(0..frames.len(), |span| span.places(frames.len()));
        let frames = &frames[part];
        places(frames.len(), self.num_frames).map(|place| images.file(&frames[place])).collect()
    }

    fn of_file(
        &self,
        images: &ImageStore,
        file: &Path,
        span: Option<Span>,
    ) -> Result<Vec<Image>, String> {
        let named = |reason: String| format!("{}: {reason}", file.display());
        let part = span.map(|span| format!(" {} {}", span.start, span.end)).unwrap_or_default();
        let key = sha256(format!("{} {}{part}", file.display(), self.num_frames).as_bytes());
        let folder = self.folder.join(&key[..16]);
        if !folder.is_dir() {
            let seconds = self.duration(file).map_err(named)?;
            let [start, end] = span.map_or([0.0, seconds], |span| span.within(seconds));
            let partial = self.folder.join(format!("{}.partial", &key[..16]));
            drop(std::fs::remove_dir_all(&partial));
            std::fs::create_dir_all(&partial).map_err(|error| named(error.to_string()))?;
            for place in 0..self.num_frames {
                // The middle of each of equal parts.
                let share = (place as f64 + 0.5) / self.num_frames as f64;
                let time = start + (end - start) * share;
                let frame = partial.join(format!("{place:04}.jpg"));
                self.take(file, time, &frame).map_err(named)?;
            }
            std::fs::rename(&partial, &folder).map_err(|error| named(error.to_string()))?;
        }
        self.of_folder(images, &folder, None)
    }

    fn take(&self, file: &Path, time: f64, frame: &Path) -> Result<(), String> {
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-nostdin", "-loglevel", "error", "-ss", &format!("{time:.3}"), "-i"]);
        command.arg(file).args(["-frames:v", "1", "-q:v", "2"]).arg(frame);
        let output = command.stdin(Stdio::null()).output().map_err(|error| self.missing(&error))?;
        match output.status.success() && frame.is_file() {
            true => Ok(()),
            false => Err(format!("ffmpeg: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    /// Seconds, as ffmpeg prints them when it is asked for nothing else.
    fn duration(&self, file: &Path) -> Result<f64, String> {
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-nostdin", "-i"]).arg(file).stdin(Stdio::null());
        let output = command.output().map_err(|error| self.missing(&error))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let clock = text.split_once("Duration: ").and_then(|(_, rest)| rest.split_once(','));
        let seconds = clock.and_then(|(clock, _)| {
            clock
                .trim()
                .split(':')
                .try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
        });
        seconds
            .filter(|seconds| *seconds > 0.0)
            .ok_or_else(|| "ffmpeg finds no duration".to_owned())
    }

    fn missing(&self, error: &std::io::Error) -> String {
        format!("{}: {error}; without it give a folder of frames", self.ffmpeg.display())
    }
}

impl Span {
    /// Its start and end in a video of so many seconds; all of it where it would be empty.
    fn within(self, seconds: f64) -> [f64; 2] {
        let (start, end) = (self.start.max(0.0), self.end.min(seconds));
        if start < end { [start, end] } else { [0.0, seconds] }
    }

    /// Its places among so many frames; all of them where their rate is not known, or it would be empty.
    fn places(self, num_frames: usize) -> std::ops::Range<usize> {
        let Some(rate) = self.rate else { return 0..num_frames };
        let start = (self.start * rate).round().max(0.0) as usize;
        let end = ((self.end * rate).round().max(0.0) as usize).min(num_frames);
        if start < end { start..end } else { 0..num_frames }
    }
}

/// The middles of `wanted` equal parts of `available` frames; all where there are fewer.
fn places(available: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let num = wanted.min(available);
    (0..num).map(move |place| (2 * place + 1) * available / (2 * num))
}

/// Orders `frame2` before `frame10`.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut keys = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let words = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(words);
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        let (number, behind) = behind.split_at(digits);
        keys.push((word.to_owned(), number.parse().unwrap_or(u64::MAX)));
        rest = behind;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spread_evenly() {
        assert_eq!(places(10, 2).collect::<Vec<_>>(), [2, 7]);
        assert_eq!(places(3, 8).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(places(64, 64).count(), 64);
        let mut names = ["frame10.jpg", "frame2.jpg", "frame1.jpg"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["frame1.jpg", "frame2.jpg", "frame10.jpg"]);
    }

    #[test]
    fn a_part_of_a_video() {
        let span = Span { start: 2.0, end: 4.0, rate: Some(3.0) };
        assert_eq!((span.within(10.0), span.within(3.0)), ([2.0, 4.0], [2.0, 3.0]));
        assert_eq!((span.places(30), span.places(10), span.places(4)), (6..12, 6..10, 0..4));
        let of_unknown_rate = Span { rate: None, ..span };
        assert_eq!((of_unknown_rate.places(30), span.within(1.0)), (0..30, [0.0, 1.0]));
    }
}
