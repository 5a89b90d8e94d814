//! What a worker prints: captured, capped, escaped.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use cloison_msg::{Name, TEXT_MAX, Text};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// How many of a worker's last lines are kept for the report of its death.
const LINES_KEPT: usize = 8;

/// How many of a worker's lines reach the log; what it prints beyond is read and dropped.
const LINES_LOGGED: u32 = 1000;

/// The last lines of one worker.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords(Arc<Mutex<VecDeque<Text>>>);

impl LastWords {
    /// Reads a worker's output until it ends.
    pub(super) async fn listen(self, role: Name, output: OwnedFd) {
        let Ok(mut output) = pipe::Receiver::from_owned_fd(output) else { return };
        let (mut chunk, mut line, mut logged) = ([0; 4096], Vec::new(), 0);
        while let Ok(len @ 1..) = output.read(&mut chunk).await {
            for &byte in &chunk[..len] {
                if byte == b'\n' {
                    self.note(&role, &line, &mut logged);
                    line.clear();
                } else if line.len() < TEXT_MAX {
                    line.push(byte);
                }
            }
        }
        if !line.is_empty() {
            self.note(&role, &line, &mut logged);
        }
    }

    fn note(&self, role: &Name, line: &[u8], logged: &mut u32) {
        let text = Text::new(&String::from_utf8_lossy(line));
        if *logged < LINES_LOGGED {
            *logged += 1;
            tracing::info!(target: "cloison::worker", %role, "{text}");
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(text);
    }

    pub(super) fn take(&self) -> Vec<Text> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}
