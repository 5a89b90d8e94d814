//! Pictures: handed over untouched, and with every byte written on one side and copied out on the other.

use std::os::fd::{AsFd, BorrowedFd};

use cloison_ipc::{BufferRef, PoolShape, ProcessIpc, ReadablePool, WritablePool, create_pool};

use super::packets::adopt;
use crate::floor::{Far, Peer, Placement, Row, Running};
use crate::picture::{BUFFERS, P720, P2160, at_home};

/// Handing over, beside a packet each way; and touching, beside the same work in one process without shared memory.
pub const PICTURES: [Row; 7] = [
    super::FLOOR,
    Row { name: "720p handed over", against: Some("raw pair"), start: |placement| hand_over(placement, P720, false) },
    Row { name: "2160p handed over", against: Some("raw pair"), start: |placement| hand_over(placement, P2160, false) },
    Row { name: "720p touched at home", against: None, start: |_| at_home(P720) },
    Row {
        name: "720p touched",
        against: Some("720p touched at home"),
        start: |placement| hand_over(placement, P720, true),
    },
    Row { name: "2160p touched at home", against: None, start: |_| at_home(P2160) },
    Row {
        name: "2160p touched",
        against: Some("2160p touched at home"),
        start: |placement| hand_over(placement, P2160, true),
    },
];

/// Borrows what is lent, copies it out if it was told to, and gives it back.
pub const CONSUMER: Far = Far { role: "consumer", serve: consume };

/// What the consumer is told first, with the pool's descriptor.
type Told = (PoolShape, bool);

fn hand_over(placement: Placement, len: u32, touch: bool) -> Running {
    let (here, there) = ProcessIpc::pair().expect("a pair");
    let peer = Peer::start(CONSUMER.role, placement.core(1), there.into(), None);
    let shape = PoolShape { buffer_size: len, count: BUFFERS };
    let new = create_pool(shape).expect("a pool");
    let told: Told = (shape, touch);
    here.send(&postcard::to_allocvec(&told).expect("plain data"), &[new.read_only.as_fd()]).expect("the peer is there");
    let pool = WritablePool::map(new.writable, 0, shape).expect("a producer's map");

    let mut packet = [0; 64];
    let mut descriptors = Vec::new();
    let mut pixel = 0u8;
    Running::timed(vec![peer], move || {
        let mut buffer = pool.acquire().expect("all came back");
        if touch {
            pixel = pixel.wrapping_add(1);
            buffer.fill(pixel);
        }
        let reference = buffer.lend(len as usize);
        here.send(postcard::to_slice(&reference, &mut packet).expect("it fits"), &[]).expect("the peer is there");
        let answer = here.recv(&mut packet, &mut descriptors).expect("the peer answers");
        let index = postcard::from_bytes(&packet[..answer]).expect("an index");
        pool.returned(index).expect("it was lent");
    })
}

fn consume(near: BorrowedFd<'_>, _beyond: BorrowedFd<'_>) {
    let near = adopt(near);
    let mut packet = [0; 64];
    let mut descriptors = Vec::new();
    let len = near.recv(&mut packet, &mut descriptors).expect("the first word");
    let (shape, touch): Told = postcard::from_bytes(&packet[..len]).expect("the first word");
    let pool = ReadablePool::map(descriptors.remove(0).into_fd(), 0, shape).expect("a consumer's map");
    let mut picture = vec![1; shape.buffer_size as usize];
    while let Ok(len) = near.recv(&mut packet, &mut descriptors) {
        let reference: BufferRef = postcard::from_bytes(&packet[..len]).expect("a reference");
        let borrowed = pool.borrow(reference).expect("an honest reference");
        if touch {
            borrowed.copy_to(&mut picture).expect("it is as long");
            std::hint::black_box(&mut picture);
        }
        let index = borrowed.give_back();
        near.send(postcard::to_slice(&index, &mut packet).expect("it fits"), &[]).expect("the peer is there");
    }
}
