//! A tar archive on its way out of a container.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe::Receiver;

use super::view::Moving;

/// A tar archive as a stream of bytes, for async and for blocking readers. An error on the way is
/// one of reading: an archive that ends without one is complete.
///
/// ```no_run
/// # async fn example(container: container_core::Container) -> Result<(), Box<dyn std::error::Error>> {
/// let mut archive = container.export().await?;
/// let mut file = tokio::fs::File::create("rootfs.tar").await?;
/// tokio::io::copy(&mut archive, &mut file).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Archive {
    /// Until its end has come.
    moving: Option<Moving>,
    /// The same pipe, once it is read by an async reader.
    receiver: Option<Receiver>,
}

impl Archive {
    pub(super) fn new(moving: Moving) -> Self {
        Self {
            moving: Some(moving),
            receiver: None,
        }
    }

    /// At the end of the pipe: was it the end of the archive?
    fn end(&mut self) -> io::Result<()> {
        self.receiver = None;
        match self.moving.take() {
            Some(moving) => moving.said().map_err(io::Error::other),
            None => Ok(()),
        }
    }
}

impl Read for Archive {
    /// Blocks. Not for a stream that an async reader has begun.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(moving) = &mut self.moving else {
            return Ok(0);
        };
        match moving.pipe.read(buffer)? {
            0 if !buffer.is_empty() => self.end().map(|()| 0),
            length => Ok(length),
        }
    }
}

impl AsyncRead for Archive {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let known = self.receiver.take();
        let Some(moving) = &self.moving else {
            return Poll::Ready(Ok(()));
        };
        let mut receiver = match known {
            Some(receiver) => receiver,
            None => Receiver::from_file(moving.pipe.try_clone()?)?,
        };
        let before = buffer.filled().len();
        let polled = Pin::new(&mut receiver).poll_read(context, buffer);
        self.receiver = Some(receiver);
        ready!(polled)?;
        if buffer.filled().len() == before && buffer.remaining() > 0 {
            self.end()?;
        }
        Poll::Ready(Ok(()))
    }
}
