//! What is said at the end: as a table for people, as JSON for programs.

use serde::Serialize;

use crate::playback::Summary;
use crate::text::{counted, plain};

/// All there is to say about one run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The file that was played.
    pub file: String,
    /// Its format.
    pub container: String,
    /// How the workers were linked: `in-process`, `broker` or `orchestrator`.
    pub model: String,
    /// How many pictures arrived.
    pub pictures: u64,
    /// The last one's width in pixels.
    pub width: Option<u32>,
    /// The last one's height in pixels.
    pub height: Option<u32>,
    /// How many samples a channel arrived.
    pub samples: u64,
    /// How many there are a second.
    pub rate: Option<u32>,
    /// How many channels there are.
    pub channels: Option<u16>,
    /// How long it took, in seconds.
    pub elapsed_seconds: f64,
    /// What went wrong, and what was kept or lost.
    pub notes: Vec<String>,
    /// Why nothing was played, or why it ended.
    pub error: Option<String>,
    /// Whether the error names the file that it is about, which is not the one that was played.
    #[serde(skip)]
    pub names_output: bool,
    /// Who did the work.
    pub workers: Vec<Worker>,
    /// The player's exit code.
    pub exit_code: u8,
}

/// One row of the table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Worker {
    /// What it does: `demux`, `audio`, `video`, `host`.
    pub role: String,
    /// Its process.
    pub pid: u32,
    /// What confines it.
    pub confinement: String,
    /// Messages it sent and received; only those of workers are counted.
    pub messages: Option<u64>,
    /// Bytes in them.
    pub bytes: Option<u64>,
    /// How often it was started again, if it is a worker.
    pub restarts: Option<u32>,
    /// Processor time it used.
    pub cpu_seconds: f64,
    /// The most memory it had at once.
    pub peak_memory_bytes: u64,
    /// With `--sandbox learn`, the rules that it would need, as Rust code.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub learned: String,
}

impl Report {
    /// Takes in what was played.
    pub fn add(&mut self, summary: Summary) {
        self.pictures = summary.pictures;
        self.samples = summary.frames;
        (self.width, self.height) = summary.size.unzip();
        (self.rate, self.channels) = summary.sound.unzip();
        self.notes.extend(summary.notes);
    }

    /// Whether anything was played.
    pub fn has_played(&self) -> bool {
        self.pictures > 0 || self.samples > 0
    }

    /// The report as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\": {:?}}}", error.to_string()))
    }

    /// The report for people, without what went wrong.
    pub fn table(&self) -> String {
        let header = ["worker", "pid", "confinement", "messages", "bytes", "restarts", "CPU s", "peak MiB"];
        let rows: Vec<_> =
            std::iter::once(header.map(str::to_owned)).chain(self.workers.iter().map(Worker::cells)).collect();
        format!("{}\n\n{}", self.played(), align(&rows))
    }

    /// One line: what was played.
    fn played(&self) -> String {
        let mut parts = vec![format!("{} ({})", plain(&self.file), self.container)];
        if let (Some(width), Some(height)) = (self.width, self.height) {
            let speed = self.pictures as f64 / self.elapsed_seconds;
            parts.push(format!("{} of {width}x{height}, {speed:.0} a second", counted(self.pictures, "picture")));
        }
        if let (Some(rate), Some(channels)) = (self.rate, self.channels) {
            let channels = counted(channels.into(), "channel");
            let seconds = self.samples as f64 / f64::from(rate);
            parts.push(format!("{seconds:.3} s of sound, {rate} Hz, {channels}"));
        }
        parts.join("; ")
    }
}

impl Worker {
    fn cells(&self) -> [String; 8] {
        const MIB: f64 = 1024.0 * 1024.0;
        let count = |count: Option<u64>| count.map_or_else(|| NONE.to_owned(), |count| count.to_string());
        [
            self.role.clone(),
            self.pid.to_string(),
            self.confinement.clone(),
            count(self.messages),
            count(self.bytes),
            count(self.restarts.map(u64::from)),
            format!("{:.2}", self.cpu_seconds),
            format!("{:.1}", self.peak_memory_bytes as f64 / MIB),
        ]
    }
}

/// What stands in the table where there is nothing to count.
const NONE: &str = "-";

/// Lines up columns: words at their left edge, numbers at their right.
fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let is_number =
        |column: usize| rows.iter().skip(1).all(|row| row[column] == NONE || row[column].parse::<f64>().is_ok());
    let cell = |(column, cell): (usize, &String)| {
        let width = widths[column];
        if is_number(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    };
    let lines: Vec<_> = rows
        .iter()
        .map(|row| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned())
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["role", "pid"], ["a", NONE], ["b", "1.5"], ["demux", "12345"]].map(|row| row.map(str::to_owned));
        assert_eq!(align(&rows), "role     pid\na          -\nb        1.5\ndemux  12345");
    }
}
