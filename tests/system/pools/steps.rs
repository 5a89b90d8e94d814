//! What these tests tell their workers, and what comes to the host.

use std::time::Duration;

use cloison_broker::msg::control::PoolShape;
use cloison_broker::{BorrowError, Borrowed, Incoming};

use crate::host::{Attacker, Host, Puppet};
use crate::raw::{RawLink, RawOutcome, RawStep};
use crate::watch::eventually;
use crate::words::{Outcome, PICTURE, Picture, Step};

pub const SHAPE: PoolShape = PoolShape { buffer_size: 5000, count: 4 };
pub const BRIEF: Duration = Duration::from_millis(60);

pub fn pool(puppet: &Puppet, link: usize, shape: PoolShape) -> usize {
    try_pool(puppet, link, shape).unwrap()
}

pub fn try_pool(puppet: &Puppet, link: usize, shape: PoolShape) -> Result<usize, String> {
    match puppet.tell(&Step::MakePool { link, shape }) {
        Outcome::Got(made) => made,
        other => panic!("{other:?}"),
    }
}

pub fn lend(puppet: &Puppet, pool: usize, fill: u8, count: u32, within: Duration) -> (u32, Option<String>) {
    puppet.sent(&Step::Lend { pool, fill, count, within })
}

pub fn lent(puppet: &Puppet, pool: usize) -> u16 {
    match puppet.tell(&Step::Lent(pool)) {
        Outcome::Lent(count) => count,
        other => panic!("{other:?}"),
    }
}

pub fn kept(puppet: &Puppet) -> Vec<u8> {
    match puppet.tell(&Step::Kept) {
        Outcome::Kept(pictures) => pictures
            .into_iter()
            .map(|(first, last)| {
                assert_eq!(first, last);
                first
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// What the consumer keeps once it has been shown so many.
pub fn shown(puppet: &Puppet, count: usize) -> Vec<u8> {
    eventually("the pictures arrive", || Some(kept(puppet)).filter(|kept| kept.len() == count))
}

/// The next picture that comes to the host.
pub fn picture(host: &mut Host) -> Result<Borrowed, BorrowError> {
    borrow(&mut host.message())
}

pub fn borrow(message: &mut Incoming) -> Result<Borrowed, BorrowError> {
    assert_eq!(message.rpc(), PICTURE);
    let picture: Picture = message.reader().recv().unwrap();
    message.borrow(picture.buffer)
}

pub fn bytes_of(picture: &Borrowed) -> Vec<u8> {
    let mut bytes = vec![0; picture.len()];
    picture.copy_to(&mut bytes).unwrap();
    bytes
}

/// The attacker's links, as it knows them.
pub fn links(raw: &Attacker) -> Vec<RawLink> {
    match raw.tell(&RawStep::Links) {
        RawOutcome::Links(links) => links,
        other => panic!("{other:?}"),
    }
}

pub fn open(raw: &Attacker, role: &str) -> usize {
    match raw.tell(&RawStep::Open { role: role.into(), interface: "peer".into() }) {
        RawOutcome::Opened(Ok(at)) => at,
        other => panic!("{other:?}"),
    }
}
