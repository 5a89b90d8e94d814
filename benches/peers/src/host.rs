//! A host that calls a confined worker: asynchronously, as hosts do, on a runtime of tokio that is one thread; and blocking.

use std::time::Instant;

use cloison_broker::msg::Message;
use cloison_broker::{Broker, CALL_DEADLINE, HOST, HostLink, Model, Rules, WorkerSpec};

use crate::calls::{ECHO, Echo, EchoClient, SAY, Words};
use crate::floor::{Placement, Row, Running, pin};
use crate::runtime;
use crate::scene::{Ends, idle};

pub const ASYNC: Row = Row { name: "host, async", against: None, start: start_by_hand };
pub const ASYNC_BY_CONTRACT: Row = Row { name: "host, async, contract", against: None, start: start_async };
pub const BLOCKING_BY_CONTRACT: Row = Row { name: "host, blocking, contract", against: None, start: start_blocking };

pub const ROWS: [Row; 3] = [ASYNC, ASYNC_BY_CONTRACT, BLOCKING_BY_CONTRACT];

const WORDS: Words = [u64::MAX; 8];

fn start_by_hand(placement: Placement) -> Running {
    let (ends, processes) = start(placement, "echo");
    let link = ends.open("echo", &ECHO).expect("granted");
    let runtime = runtime();
    Running::new(processes, Vec::new(), move |count, took| {
        let _alive = &ends;
        runtime.block_on(async {
            for _ in 0..count {
                let start = Instant::now();
                assert_eq!(by_hand(&link).await, WORDS);
                took.push(start.elapsed());
            }
        });
    })
}

async fn by_hand(link: &HostLink) -> Words {
    let mut message = Message::new();
    message.append(&WORDS).expect("it fits");
    let mut answer = link.start(SAY, message, CALL_DEADLINE).await.expect("an answer");
    answer.reader().recv().expect("words")
}

fn start_async(placement: Placement) -> Running {
    let (ends, processes) = start(placement, "contract-echo");
    let runtime = runtime();
    let echo = runtime.block_on(EchoClient::bind_async(&*ends, "contract-echo")).expect("granted").start();
    Running::new(processes, Vec::new(), move |count, took| {
        let _alive = &ends;
        runtime.block_on(async {
            for _ in 0..count {
                let start = Instant::now();
                assert_eq!(echo.say(&WORDS).await.expect("an answer"), WORDS);
                took.push(start.elapsed());
            }
        });
    })
}

fn start_blocking(placement: Placement) -> Running {
    let (ends, processes) = start(placement, "contract-echo");
    let echo = EchoClient::bind(&*ends, "contract-echo").expect("granted");
    Running::new(processes, Vec::new(), move |count, took| {
        let _alive = &ends;
        for _ in 0..count {
            let start = Instant::now();
            assert_eq!(echo.say(&WORDS).expect("an answer"), WORDS);
            took.push(start.elapsed());
        }
    })
}

/// A broker whose router is the neighbour of this thread, and of a worker that this host may call.
fn start(placement: Placement, role: &str) -> (Ends, Vec<u32>) {
    pin(None, placement.core(1));
    let policy = Rules::new().allow_contract(HOST, role, &ECHO);
    let (broker, inbox) = Broker::start(policy, Model::Broker).expect("a broker");
    let host = std::thread::spawn(move || idle(inbox));
    pin(None, placement.core(0));
    broker.spawn(WorkerSpec::own(role).expect("a role")).expect("a confined worker");
    let ends = Ends::new(broker, host);
    ends.open(role, &ECHO).expect("granted, and so the worker is ready").close();
    let processes: Vec<_> = ends.workers().iter().filter_map(|worker| worker.pid).collect();
    for process in &processes {
        pin(Some(*process), placement.core(2));
    }
    (ends, processes)
}
