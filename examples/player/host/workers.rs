//! The workers: spawned, told to misbehave, ended, and accounted for.

use std::time::{Duration, Instant};

use cloison_broker::msg::contract::{Client, Stub};
use cloison_broker::sandbox::{Profile, Tier};
use cloison_broker::{Broker, Contract, SpawnError, WorkerSpec, WorkerState, WorkerStatus};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Order;
use super::fault::{Fault, FaultKind};
use crate::protocol::{DECODER, DEMUXER, Decoder, DecoderClient, Demuxer, DemuxerClient};
use crate::report::Worker;
use crate::worker::{AUDIO, DEMUX, VIDEO};

/// All of them, in the order of the table.
pub const ROLES: [&str; 3] = [DEMUX, AUDIO, VIDEO];

/// How often in a row a worker may die without having brought anything new. An input is skipped when it has killed twice:
/// so this is enough for two bad stretches, one right after the other.
const RESTARTS: u32 = 5;

/// How long after something was recorded, at most, a worker tells it that has nothing to do; twice that.
const TOLD_WITHIN: Duration = Duration::from_millis(10);

/// How long workers may take to end when playing is over.
const END_WITHIN: Duration = Duration::from_millis(500);

/// Starts the workers, all at the same time, with the least confinement, and for the family of demuxers and decoders, that
/// the order names. If they are to learn, their calls are let through.
///
/// # Errors
/// Why one of them does not start.
pub async fn spawn(broker: &Broker, order: &Order<'_>) -> Result<(), SpawnError> {
    let least = order.sandbox;
    let most = if least == Tier::Off { Tier::Off } else { Tier::Full };
    let spec = |role| {
        let spec = WorkerSpec::own(role).expect("roles are names");
        // The strict profile, narrowed to the threads that the role needs.
        let threads = if role == VIDEO { 1 + order.job.family.helpers() } else { 1 };
        let profile = Profile::decoder().threads(threads);
        spec.profile(if order.learn { profile.learning() } else { profile }).least(least).most(most).restarts(RESTARTS)
    };
    let [demux, audio, video] = ROLES.map(|role| broker.spawn_async(spec(role)));
    tokio::try_join!(demux, audio, video).map(drop)
}

/// Makes `fault` happen. What cannot be done is dropped: the worker is gone already.
pub fn provoke(broker: &Broker, fault: &Fault) {
    match fault.kind {
        FaultKind::Crash => crash(broker, fault.role),
        FaultKind::Stop => drop(broker.freeze(fault.role)),
        FaultKind::Silence => tell_to_hang(broker, fault, false),
        FaultKind::Busy => tell_to_hang(broker, fault, true),
    }
}

/// The rows of the table, once every worker has ended and its use is known in full; and what it has recorded, if that is wanted.
pub fn dismiss(broker: &Broker, is_traced: bool) -> Vec<Worker> {
    if is_traced {
        std::thread::sleep(TOLD_WITHIN);
    }
    // They can still say what they sent to each other directly.
    let _ = broker.workers();
    for role in ROLES {
        broker.stop(role);
    }
    let until = Instant::now() + END_WITHIN;
    let mut statuses = broker.workers();
    while Instant::now() < until && statuses.iter().any(|status| status.state != WorkerState::Ended) {
        std::thread::sleep(Duration::from_millis(5));
        statuses = broker.workers();
    }
    let rows = ROLES.iter().filter_map(|role| statuses.iter().find(|status| status.role.as_str() == *role));
    rows.map(row).collect()
}

fn row(status: &WorkerStatus) -> Worker {
    let traffic = status.relayed.plus(status.direct);
    let learns = status.report.as_ref().is_some_and(|report| report.learning);
    Worker {
        role: status.role.to_string(),
        pid: status.pid.unwrap_or_default(),
        confinement: status.report.as_ref().map_or_else(|| "never ran".to_owned(), |report| report.to_string()),
        messages: Some(traffic.messages),
        bytes: Some(traffic.bytes),
        restarts: Some(status.restarts),
        cpu_seconds: status.usage.cpu.as_secs_f64(),
        peak_memory_bytes: status.usage.peak_memory,
        learned: if learns { status.learned.to_string() } else { String::new() },
    }
}

/// Kills the process, as the system or anybody else might: the broker is not told.
fn crash(broker: &Broker, role: &str) {
    let status = broker.workers().into_iter().find(|status| status.role.as_str() == role);
    let pid = status.and_then(|status| status.pid).and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 1);
    // Nobody but the broker reaps it, so until it has been told of its death the number is its own.
    if let Some(process) = pid.and_then(Pid::from_raw).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

/// A worker that ends meanwhile hangs for good, so failures are dropped. It has no time to say what it serves.
fn tell_to_hang(broker: &Broker, fault: &Fault, busy: bool) {
    let methods = |contract: &Contract| u16::try_from(contract.methods().len()).unwrap_or(u16::MAX);
    if fault.role == DEMUX {
        let link = broker.open(fault.role, &DEMUXER);
        let _ = link.map(|link| DemuxerClient::over(Stub::new(link, methods(&DEMUXER))).hang(busy));
    } else {
        let link = broker.open(fault.role, &DECODER);
        let _ = link.map(|link| DecoderClient::over(Stub::new(link, methods(&DECODER))).hang(busy));
    }
}
