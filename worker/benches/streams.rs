//! How much a stream carries between two workers that are threads of one process, without a pool: items of 4 KiB, and small ones,
//! directly and over the broker of the tests, which is slower than the real one.
//!
//! `cargo bench -p cloison-worker --bench streams`; without `--bench` it is only tried.

#![expect(clippy::unwrap_used, reason = "the world is a test's, which may")]

#[allow(dead_code, reason = "each program uses its part")]
#[path = "../tests/world/mod.rs"]
mod world;

use std::time::{Duration, Instant};

use cloison_ipc::ProcessIpc;
use cloison_msg::Route;
use cloison_worker::{Answer, Link, Stream, interface};
use world::World;

#[interface]
trait Source {
    fn blocks(&self, count: u32, len: u32) -> Stream<Vec<u8>>;
    fn swallow(&self, blocks: Stream<Vec<u8>>) -> Answer<u64>;
}

struct Blocks;

impl Source for Blocks {
    fn blocks(&self, count: u32, len: u32) -> Stream<Vec<u8>> {
        Stream::of((0..count).map(move |_| vec![7; len as usize])).in_batches()
    }

    fn swallow(&self, mut blocks: Stream<Vec<u8>>) -> Answer<u64> {
        blocks.try_fold(0, |sum, block| Ok(sum + block?.len() as u64))
    }
}

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (count, rounds) = if is_bench { (50_000, 12) } else { (100, 1) };
    for route in [Route::Direct, Route::Relayed] {
        let mut world = World::new(route);
        world.worker("source", |worker| worker.serve(SourceServer::new(Blocks)));
        let worker = world.here("client");
        let client = SourceClient::bind(&worker, "source").expect("it is there");
        for len in [4096u32, 64] {
            let given = best(rounds, || given(&client, count, len));
            let fed = best(rounds, || fed(&client, count, len));
            println!(
                "{route:?}, items of {len} bytes: given {}, fed {}",
                rate(count, len, given),
                rate(count, len, fed)
            );
        }
    }
    for len in [4096usize, 64] {
        let bytes = u32::try_from(len).expect("it is short");
        println!("a raw pair, {len} bytes: {}", rate(count, bytes, best(rounds, || raw(count, len))));
    }
}

fn best(rounds: u32, mut round: impl FnMut() -> Duration) -> Duration {
    (0..rounds).map(|_| round()).min().expect("there is a round")
}

fn rate(count: u32, len: u32, took: Duration) -> String {
    let (bytes, seconds) = (f64::from(count) * f64::from(len), took.as_secs_f64());
    format!("{:.2} GB/s, {:.2} million a second", bytes / seconds / 1e9, f64::from(count) / seconds / 1e6)
}

fn given(client: &SourceClient<Link>, count: u32, len: u32) -> Duration {
    let since = Instant::now();
    let mut items = client.start().blocks(count, len);
    let mut bytes = 0;
    while let Some(seen) = items.view(|block: &[u8]| block.len() as u64) {
        bytes += seen.unwrap();
    }
    assert_eq!(bytes, u64::from(count) * u64::from(len));
    since.elapsed()
}

fn fed(client: &SourceClient<Link>, count: u32, len: u32) -> Duration {
    let since = Instant::now();
    let blocks = Stream::of((0..count).map(move |_| vec![7; len as usize])).in_batches();
    assert_eq!(client.swallow(blocks), Ok(u64::from(count) * u64::from(len)));
    since.elapsed()
}

/// The same bytes over a socket, and nothing else: a packet for each.
fn raw(count: u32, len: usize) -> Duration {
    let (here, there) = ProcessIpc::pair().unwrap();
    let writer = std::thread::spawn(move || {
        let packet = vec![7; len + 48];
        (0..count).for_each(|_| there.send(&packet, &[]).unwrap());
    });
    let (since, mut packet) = (Instant::now(), vec![0; 65_536]);
    let mut passed = Vec::new();
    for _ in 0..count {
        here.recv(&mut packet, &mut passed).unwrap();
    }
    writer.join().unwrap();
    since.elapsed()
}
