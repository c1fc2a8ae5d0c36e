//! Bytes that wait until whoever they are for takes them.

use std::io;

use rustix::io::Errno;

/// In order, each once.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them are gone.
    sent: usize,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Hands over until all is gone or no more is taken for now.
    pub(crate) fn hand_over(
        &mut self,
        mut write: impl FnMut(&[u8]) -> rustix::io::Result<usize>,
    ) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            match write(&self.bytes[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    // Seldom, and never more than is gone.
                    if self.sent > self.bytes.len() / 2 {
                        self.bytes.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(());
                }
                Err(e) => return Err(e.into()),
            }
        }
        *self = Self::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_arrives_once_and_in_order() {
        let mut outbox = Outbox::default();
        let (mut arrived, mut calls) = (Vec::new(), 0);
        for number in 0..100_u32 {
            outbox.push(&number.to_le_bytes());
            let write = |bytes: &[u8]| {
                calls += 1;
                match calls % 3 {
                    0 => Err(Errno::AGAIN),
                    1 => Err(Errno::INTR),
                    _ => {
                        let taken = bytes.len().min(5);
                        arrived.extend_from_slice(&bytes[..taken]);
                        Ok(taken)
                    }
                }
            };
            outbox.hand_over(write).unwrap();
        }
        while !outbox.is_empty() {
            let all = |bytes: &[u8]| {
                arrived.extend_from_slice(bytes);
                Ok(bytes.len())
            };
            outbox.hand_over(all).unwrap();
        }
        let expected: Vec<u8> = (0..100_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(arrived, expected);
        assert!(outbox.hand_over(|_| Err(Errno::PIPE)).is_ok());
        outbox.push(b"x");
        assert!(outbox.hand_over(|_| Err(Errno::PIPE)).is_err());
    }
}
