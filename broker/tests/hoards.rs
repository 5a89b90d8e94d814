//! How much the host can be fed that nobody has taken yet, and at whose expense.
#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and helpers have none")]

use std::time::Duration;

use cloison_broker::harness::Harness;
use cloison_broker::msg::contract::{Client, Stub};
use cloison_broker::msg::{CALLS_IN_FLIGHT, STREAM_BYTES};
use cloison_broker::{Answer, Ask, Grant, HOST, HOST_FED_BYTES_MAX, Item, Model, Stream, interface};
use cloison_worker::{Link, Worker};

/// The host's.
#[interface]
trait Silo {
    /// Adds up how long they are.
    fn store(&self, blocks: Stream<Vec<u8>>) -> Answer<u64>;
}

struct Barn;

impl Silo for Barn {
    fn store(&self, mut blocks: Stream<Vec<u8>>) -> Answer<u64> {
        blocks.try_fold(0, |sum, block| Ok(sum + block?.len() as u64))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a stream's credit is a small number")]
const CREDIT: usize = STREAM_BYTES as usize;

/// Items that take all of a packet each, so many that a stream is full.
const BLOCK: usize = 60_000;
const BLOCKS: usize = CREDIT.div_ceil(BLOCK);

/// So many links, each with as many calls as can be, feed the host more than it keeps.
const LINKS: usize = HOST_FED_BYTES_MAX / (BLOCKS * BLOCK * CALLS_IN_FLIGHT as usize) + 1;

const AMPLE: Duration = Duration::from_secs(60);

fn open(worker: &Worker) -> SiloClient<Link> {
    SiloClient::over(Stub::new(worker.open(HOST, &SILO).unwrap(), 1)).within(AMPLE)
}

/// What was fed over a link that is gone lies in the inbox as before, and in its feeder's name.
#[test]
fn what_is_left_behind_over_closed_links_is_nobody_else_s() {
    let policy = |_: &Ask<'_>| Some(Grant { rights: SILO.rights(), ..Grant::default() });
    let mut harness = Harness::new(policy, Model::Broker).unwrap();
    let controls = ["hog", "honest"].map(|role| harness.seat(role).unwrap());
    let [hog, honest] = harness.during(|| controls.map(|control| Worker::over(control).unwrap()));
    let answer = harness.during(|| {
        for _ in 0..LINKS {
            let silo = open(&hog);
            let calls = [(); CALLS_IN_FLIGHT as usize].map(|()| {
                let (mut feeder, call) = silo.start().store();
                (0..BLOCKS).for_each(|_| feeder.push(&vec![7; BLOCK]).unwrap());
                (feeder, call)
            });
            silo.link().clone().close();
            drop(calls);
        }
        let (mut feeder, answer) = open(&honest).start().store();
        (0..BLOCKS).for_each(|_| feeder.push(&vec![7; BLOCK]).unwrap());
        feeder.finish();
        answer
    });
    harness.settle();
    while let Some(item) = harness.heard() {
        if let Item::Message(message) = item {
            assert_eq!(message.peer().as_str(), "honest");
            message.serve(&SiloServer::new(Barn));
        }
    }
    assert_eq!(harness.during(|| answer.wait()), Ok((BLOCKS * BLOCK) as u64));
}
