//! One line of a table, before and while it is measured.

use std::time::{Duration, Instant};

use super::{Peer, Placement};

/// One line of a table.
#[derive(Clone, Copy)]
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// The row of the same table that it is compared with.
    pub against: Option<&'static str>,
    /// Starts what it needs. The caller's own thread is pinned already.
    pub start: fn(Placement) -> Running,
}

/// Makes so many calls one after the other, and appends how long each took: measured by whoever calls, in whatever process.
type Calls = dyn FnMut(usize, &mut Vec<Duration>);

/// A row that can be measured: what it started lives as long as this value.
pub struct Running {
    calls: Box<Calls>,
    /// The other processes that take part, whose page faults count too.
    processes: Vec<u32>,
    /// Dropped last: the sockets that lead to them are in `calls`.
    _peers: Vec<Peer>,
}

impl Running {
    /// A row whose caller is this process: `call` is timed here.
    pub fn timed(peers: Vec<Peer>, mut call: impl FnMut() + 'static) -> Self {
        let calls = move |count, took: &mut Vec<Duration>| {
            for _ in 0..count {
                let start = Instant::now();
                call();
                took.push(start.elapsed());
            }
        };
        Self::new(peers.iter().map(Peer::id).collect(), peers, calls)
    }

    /// A row that times its calls itself, in another process perhaps. `processes` take part, and end when `calls` is
    /// dropped or are among the `peers`.
    pub fn new(processes: Vec<u32>, peers: Vec<Peer>, calls: impl FnMut(usize, &mut Vec<Duration>) + 'static) -> Self {
        Self { calls: Box::new(calls), processes, _peers: peers }
    }

    /// Makes so many calls, and replaces what is in `took` by how long each took.
    pub fn call(&mut self, count: usize, took: &mut Vec<Duration>) {
        took.clear();
        (self.calls)(count, took);
    }

    /// Page faults so far, in this process and in all that take part.
    pub fn page_faults(&self) -> u64 {
        let others: u64 = self.processes.iter().map(|process| page_faults(&process.to_string())).sum();
        page_faults("self") + others
    }
}

/// Page faults of one process since its start, those that read from disk not counted.
fn page_faults(process: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process is alive");
    // The name, in parentheses, may contain anything; minflt is the eighth field behind it.
    let (_, behind_name) = stat.rsplit_once(')').expect("a name in parentheses");
    behind_name.split_whitespace().nth(7).and_then(|field| field.parse().ok()).expect("a number of faults")
}
