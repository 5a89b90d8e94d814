//! What a puppet does with a link, or with a pool that lends over one.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use cloison_worker::msg::{Message, Rights, RpcIndex};
use cloison_worker::{Link, Pool};

use crate::words::{
    BUCKET, DESCRIPTOR, ECHO, NAP, NOTE, Outcome, PICTURE, Picture, RoundTrips, TAKE, Verbatim, monotonic,
};

pub fn call(link: &Link, rpc: RpcIndex, payloads: &[Vec<u8>], within: Duration) -> Vec<Result<Vec<u8>, String>> {
    let started = payloads.iter().map(|payload| {
        let mut message = Message::new();
        message.append(&Verbatim(payload)).map_err(|error| format!("{error:?}"))?;
        if rpc == DESCRIPTOR {
            let pipe = std::io::stderr().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
            message.attach(pipe).map_err(|error| format!("{error:?}"))?;
        }
        link.start_within(rpc, &mut message, within).map_err(|error| format!("{:?}", error.why))
    });
    let started: Vec<_> = started.collect();
    let mut replies: Vec<_> = started
        .into_iter()
        .rev()
        .map(|pending| match pending?.wait() {
            Ok(reply) => Ok(reply.payload().to_vec()),
            Err(error) => Err(format!("{:?}", error.why)),
        })
        .collect();
    replies.reverse();
    replies
}

pub fn hand(by: &Link, link: &Link, moves: bool, calls: bool, rights: &Rights) -> Result<Vec<u8>, String> {
    let mut message = Message::new();
    let appended = if moves { message.move_link(link, rights) } else { message.append_link(link, rights) };
    appended.map_err(|error| format!("{error:?}"))?;
    let handed = if calls { by.call(TAKE, &mut message).map(drop) } else { by.oneway(TAKE, &mut message) };
    handed.map(|()| Vec::new()).map_err(|error| format!("{:?}", error.why))
}

pub fn hand_busy(by: &Link, link: &Link, calls: u32, nap: u64, rights: &Rights) -> Vec<Result<Vec<u8>, String>> {
    let why = |error: cloison_worker::msg::CallError| format!("{:?}", error.why);
    let pending: Vec<_> = (0..calls)
        .map(|_| {
            let mut message = Message::new();
            message.append(&nap).expect("it fits");
            link.start(NAP, &mut message).map_err(why)
        })
        .collect();
    let handed = hand(by, link, true, true, rights);
    let outcomes =
        pending.into_iter().map(|pending| pending?.wait().map(|reply| reply.payload().to_vec()).map_err(why));
    let mut outcomes: Vec<_> = outcomes.collect();
    outcomes.push(handed);
    outcomes
}

/// Every fourth number is sent as a call of [`NOTE`], the others as oneways.
pub fn stream(link: &Link, from: u32, lasting: Duration) -> Outcome {
    let end = Instant::now() + lasting;
    let mut number = from;
    let mut message = Message::new();
    while Instant::now() < end {
        message.clear().append(&number).expect("it fits");
        let sent = match number % 4 {
            0 => link.call(NOTE, &mut message).map(drop),
            _ => link.oneway(NOTE, &mut message),
        };
        if let Err(error) = sent {
            return Outcome::Streamed(number, Some(format!("{:?}", error.why)), monotonic());
        }
        number += 1;
    }
    Outcome::Streamed(number, None, monotonic())
}

pub fn notes(link: &Link, numbers: std::ops::Range<u32>, bytes: u32, within: Duration) -> (u32, Option<String>) {
    let filler = vec![0x5a; bytes as usize];
    let mut sent = 0;
    for number in numbers {
        let mut message = Message::new();
        message.append(&number).and_then(|message| message.append_bytes(&filler)).expect("the host asks for what fits");
        match link.oneway_within(NOTE, &mut message, within) {
            Ok(()) => sent += 1,
            Err(error) => return (sent, Some(format!("{:?}", error.why))),
        }
    }
    (sent, None)
}

pub fn round_trips(link: &Link, lasting: Duration) -> RoundTrips {
    let mut trips = RoundTrips::default();
    let end = Instant::now() + lasting;
    let bucket = u64::try_from(BUCKET.as_nanos()).expect("short");
    while Instant::now() < end {
        let mut message = Message::new();
        message.append_bytes(b"round").expect("it fits");
        let start = Instant::now();
        if let Err(error) = link.call(ECHO, &mut message) {
            trips.stopped_by = Some(format!("{:?}", error.why));
            break;
        }
        trips.slowest = trips.slowest.max(start.elapsed());
        let at = monotonic() / bucket * bucket;
        match trips.buckets.last_mut() {
            Some((last, count)) if *last == at => *count += 1,
            _ => trips.buckets.push((at, 1)),
        }
    }
    trips
}

pub fn lend(pool: &Pool, fill: u8, count: u32, within: Duration) -> (u32, Option<String>) {
    let mut fill = fill;
    for lent in 0..count {
        let mut buffer = match pool.acquire_within(within) {
            Ok(buffer) => buffer,
            Err(error) => return (lent, Some(format!("{error:?}"))),
        };
        buffer.fill(fill);
        fill = fill.wrapping_add(1);
        let len = buffer.len();
        let mut message = Message::new();
        message.append(&Picture { buffer: buffer.lend(len) }).expect("it fits");
        if let Err(error) = pool.link().oneway_within(PICTURE, &mut message, within) {
            return (lent, Some(format!("{:?}", error.why)));
        }
    }
    (count, None)
}
