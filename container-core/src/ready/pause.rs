//! Pauses between looks at what nobody tells of.

use std::time::Duration;

/// Each half as long again as the one before.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    pub(super) fn new(first: u64, longest: u64) -> Self {
        Self {
            next: Duration::from_millis(first),
            longest: Duration::from_millis(longest),
        }
    }

    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 3 / 2).min(self.longest);
    }
}
