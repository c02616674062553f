//! An image archive as a sequence of members; its end is proved.

use bytes::Bytes;
use futures::StreamExt;
use holdfast_docker::ByteStream;
use holdfast_model::{Error, Kind, Result};
use holdfast_tar::{Step, Walker};

/// Code of the error that an archive has no end.
pub(crate) const CUT: &str = "image.cut";

/// The walker with the stream that feeds it.
pub(crate) struct Archive {
    stream: ByteStream,
    walker: Option<Walker>,
}

impl Archive {
    pub(crate) fn new(stream: ByteStream) -> Archive {
        Archive { stream, walker: Some(Walker::new()) }
    }

    /// The next step; `None` after the proved end. `Corrupt` ([`CUT`]) if the archive was cut.
    pub(crate) async fn next(&mut self) -> Result<Option<Step>> {
        loop {
            let Some(walker) = self.walker.as_mut() else { return Ok(None) };
            if let Some(step) = walker.step()? {
                return Ok(Some(step));
            }
            match self.stream.next().await {
                Some(bytes) => walker.feed(bytes?),
                None => {
                    let walker = self.walker.take().unwrap_or_default();
                    walker.finish().map_err(cut)?;
                }
            }
        }
    }

    /// Content of the open member up to `enough` bytes, and whether the member is whole already.
    pub(crate) async fn begin(&mut self, enough: usize) -> Result<(Vec<Bytes>, bool)> {
        let (mut pieces, mut length) = (Vec::new(), 0);
        while length < enough {
            match self.next().await? {
                Some(Step::Data(bytes)) => {
                    length += bytes.len();
                    pieces.push(bytes);
                }
                _ => return Ok((pieces, true)),
            }
        }
        Ok((pieces, false))
    }
}

/// Not `stream.short`: that is the word for a layer's own tar.
fn cut(error: Error) -> Error {
    Error::new(Kind::Corrupt, CUT, "the engine ended the image archive early").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use holdfast_docker::archive::{Entry, tar};

    #[tokio::test]
    async fn a_stream_that_fails_is_no_archive_that_ends_early() {
        let whole = tar(&[Entry::file("a", vec![1; 2000])]);
        let away = Error::new(Kind::Unavailable, "host.unreachable", "gone");
        for (rest, code) in [(None, CUT), (Some(away), "host.unreachable")] {
            let begun = Some(Ok(Bytes::copy_from_slice(&whole[..700])));
            let pieces = [begun, rest.map(Err)].into_iter().flatten();
            let mut archive = Archive::new(stream::iter(pieces).boxed());
            let error = loop {
                match archive.next().await {
                    Ok(step) => assert!(step.is_some(), "half an archive has no end"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.code(), code);
        }
    }
}
