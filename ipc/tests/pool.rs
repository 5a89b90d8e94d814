//! A pool, between an honest producer and consumer, and against hostile ones.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Barrier;
use std::thread;

use cloison_ipc::{
    BorrowError, BufferRef, MapError, MapPoolError, NewPool, NewPoolError, OutOfRange, PoolShape, ReadablePool,
    ReturnError, Rows, ShapeError, WritablePool, create_pool,
};
use nix::sys::resource::{UsageWho, getrusage};
use proptest::prelude::*;
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

const SHAPE: PoolShape = PoolShape { buffer_size: 10_000, count: 3 };
/// Three buffers of three pages each.
const BYTES: u64 = 3 * 12_288;

fn pool(shape: PoolShape) -> (WritablePool, ReadablePool) {
    let NewPool { writable, read_only } = create_pool(shape).expect("a pool");
    let producer = WritablePool::map(writable, 7, shape).expect("a producer's map");
    let consumer = ReadablePool::map(read_only, 7, shape).expect("a consumer's map");
    (producer, consumer)
}

fn memfd(len: u64, seals: SealFlags) -> OwnedFd {
    let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memfd");
    rustix::fs::ftruncate(&fd, len).expect("a length");
    rustix::fs::fcntl_add_seals(&fd, seals).expect("seals");
    fd
}

fn reopen(fd: impl AsFd, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}

const SEALED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

#[test]
fn what_is_lent_arrives_and_comes_back() {
    let (producer, consumer) = pool(SHAPE);
    for round in 0..100u8 {
        let mut buffer = producer.acquire().unwrap();
        assert_eq!(buffer.len(), 10_000);
        buffer.fill(round);
        let reference = buffer.lend(9_999);
        assert_eq!(reference, BufferRef { pool: 7, index: 0, len: 9_999 });
        assert!(!producer.is_idle());

        let borrowed = consumer.borrow(reference).unwrap();
        let mut copy = vec![255; 9_999];
        borrowed.copy_to(&mut copy).unwrap();
        assert!(copy.iter().all(|&byte| byte == round));
        producer.returned(borrowed.give_back()).unwrap();
        assert!(producer.is_idle());
    }
}

#[test]
fn a_used_up_pool_gives_nothing_until_a_buffer_comes_back() {
    let (producer, consumer) = pool(SHAPE);
    let lent: Vec<_> = (0..3).map(|_| producer.acquire().unwrap().lend(0)).collect();
    assert!(producer.acquire().is_none());
    assert_eq!(producer.lent(), 3);
    let back = consumer.borrow(lent[1]).unwrap().give_back();
    producer.returned(back).unwrap();
    assert_eq!(producer.acquire().unwrap().lend(0).index, 1);
}

#[test]
fn a_buffer_that_is_dropped_unlent_is_free_again() {
    let (producer, _consumer) = pool(SHAPE);
    for _ in 0..10 {
        let held: Vec<_> = (0..3).map(|_| producer.acquire().unwrap()).collect();
        assert!(!producer.is_idle());
        drop(held);
        assert!(producer.is_idle());
    }
}

#[test]
fn a_dead_consumers_buffers_come_back_and_held_ones_stay_held() {
    let (producer, _consumer) = pool(SHAPE);
    let _ = producer.acquire().unwrap().lend(1);
    let _ = producer.acquire().unwrap().lend(1);
    let held = producer.acquire().unwrap();
    assert_eq!(producer.return_all(), 2);
    assert!(producer.acquire().is_some());
    assert!(!producer.is_idle());
    drop(held);
    assert!(producer.is_idle());
}

#[test]
fn a_return_of_what_is_not_lent_is_a_violation() {
    let (producer, _consumer) = pool(SHAPE);
    assert_eq!(producer.returned(3), Err(ReturnError::NoSuchBuffer { index: 3, count: 3 }));
    assert_eq!(producer.returned(0), Err(ReturnError::NotLent { index: 0 }));
    let held = producer.acquire().unwrap();
    assert_eq!(producer.returned(0), Err(ReturnError::NotLent { index: 0 }), "being filled is not lent");
    let reference = held.lend(1);
    producer.returned(reference.index).unwrap();
    assert_eq!(producer.returned(0), Err(ReturnError::NotLent { index: 0 }), "once is enough");
}

#[test]
fn a_reference_is_checked_before_it_is_believed() {
    let (_producer, consumer) = pool(SHAPE);
    let good = BufferRef { pool: 7, index: 2, len: 10_000 };
    let error = |reference| consumer.borrow(reference).map(drop).unwrap_err();
    assert_eq!(error(BufferRef { pool: 8, ..good }), BorrowError::OtherPool { expected: 7, found: 8 });
    assert_eq!(error(BufferRef { index: 3, ..good }), BorrowError::NoSuchBuffer { index: 3, count: 3 });
    assert_eq!(error(BufferRef { len: 10_001, ..good }), BorrowError::TooLong { len: 10_001, max: 10_000 });
    assert_eq!(error(BufferRef { len: u32::MAX, ..good }), BorrowError::TooLong { len: u32::MAX, max: 10_000 });

    let borrowed = consumer.borrow(good).unwrap();
    assert_eq!(error(good), BorrowError::LentTwice { index: 2 });
    drop(borrowed);
    assert_eq!(consumer.borrow(good).unwrap().len(), 10_000);
}

#[test]
fn a_reference_survives_the_wire() {
    let reference = BufferRef { pool: u32::MAX, index: 63, len: u32::MAX };
    let bytes = postcard::to_allocvec(&reference).unwrap();
    assert!(bytes.len() <= 12, "a picture of any size travels in a dozen bytes: {}", bytes.len());
    assert_eq!(postcard::from_bytes::<BufferRef>(&bytes).unwrap(), reference);
}

#[test]
fn impossible_shapes_make_no_pool() {
    let make = |buffer_size, count| create_pool(PoolShape { buffer_size, count }).map(drop);
    assert!(matches!(make(0, 1), Err(NewPoolError::Shape(ShapeError::Empty))));
    assert!(matches!(make(1, 65), Err(NewPoolError::Shape(ShapeError::TooMany(65)))));
    assert!(matches!(make(u32::MAX, 1), Err(NewPoolError::Shape(ShapeError::TooLarge(_)))));
}

#[test]
fn a_pool_cannot_change_its_length() {
    let new = create_pool(SHAPE).unwrap();
    assert_eq!(rustix::fs::fstat(&new.writable).unwrap().st_size as u64, BYTES);
    assert_eq!(rustix::fs::ftruncate(&new.writable, 0), Err(Errno::PERM));
    assert_eq!(rustix::fs::ftruncate(&new.writable, BYTES + 1), Err(Errno::PERM));
}

#[test]
fn only_the_producers_map_writes_once_there_is_one() {
    let new = create_pool(SHAPE).unwrap();
    let duplicate = new.writable.try_clone().unwrap();
    let _producer = WritablePool::map(new.writable, 7, SHAPE).unwrap();
    let seals = rustix::fs::fcntl_get_seals(&duplicate).unwrap();
    assert!(seals.contains(SEALED | SealFlags::FUTURE_WRITE | SealFlags::SEAL), "{seals:?}");
    assert_eq!(rustix::io::pwrite(&duplicate, b"x", 0), Err(Errno::PERM));
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    assert_eq!(rustix::fs::fallocate(&duplicate, hole, 0, 4096), Err(Errno::PERM));
    assert!(matches!(WritablePool::map(duplicate, 7, SHAPE), Err(MapPoolError::Memory(MapError::AlreadyMapped))));
}

#[test]
fn of_many_who_map_a_pool_for_writing_one_succeeds() {
    for _ in 0..50 {
        let new = create_pool(SHAPE).unwrap();
        let duplicates: Vec<_> = (0..4).map(|_| new.writable.try_clone().unwrap()).collect();
        let start = Barrier::new(duplicates.len());
        let mapped: Vec<_> = thread::scope(|scope| {
            let map = |fd| {
                start.wait();
                WritablePool::map(fd, 7, SHAPE)
            };
            let threads: Vec<_> = duplicates.into_iter().map(|fd| scope.spawn(move || map(fd))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(mapped.iter().filter(|result| result.is_ok()).count(), 1);
    }
}

#[test]
fn a_consumer_cannot_write_through_its_descriptor() {
    let new = create_pool(SHAPE).unwrap();
    let read_only = new.read_only;
    assert!(File::from(read_only.try_clone().unwrap()).write(b"x").is_err());
    assert_eq!(rustix::fs::ftruncate(&read_only, 0), Err(Errno::INVAL));
    assert_eq!(rustix::fs::fcntl_add_seals(&read_only, SealFlags::WRITE), Err(Errno::PERM));
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    assert_eq!(rustix::fs::fallocate(&read_only, hole, 0, 4096), Err(Errno::BADF));
}

#[test]
fn a_consumer_that_opens_its_descriptor_again_gains_nothing() {
    let new = create_pool(SHAPE).unwrap();
    if !rustix::process::geteuid().is_root() {
        assert_eq!(reopen(&new.read_only, OFlags::RDWR).map(drop), Err(Errno::ACCESS), "the file's mode forbids it");
    }
    let _producer = WritablePool::map(new.writable, 7, SHAPE).unwrap();
    // Root may open anything; the seals hold for it too.
    if let Ok(reopened) = reopen(&new.read_only, OFlags::RDWR) {
        assert_eq!(rustix::io::pwrite(&reopened, b"x", 0), Err(Errno::PERM));
        assert!(matches!(WritablePool::map(reopened, 7, SHAPE), Err(MapPoolError::Memory(MapError::AlreadyMapped))));
    }
}

#[test]
fn memory_that_is_not_as_it_should_be_is_refused_by_the_consumer() {
    let map = |fd| ReadablePool::map(fd, 7, SHAPE).map(drop);
    let read_only = |fd| reopen(fd, OFlags::RDONLY).unwrap();
    assert!(map(read_only(memfd(BYTES, SEALED))).is_ok());
    assert!(map(read_only(memfd(BYTES, SEALED | SealFlags::SEAL | SealFlags::WRITE))).is_ok(), "more seals are fine");

    for seals in [SealFlags::empty(), SealFlags::SHRINK, SealFlags::GROW] {
        let result = map(read_only(memfd(BYTES, seals)));
        assert!(matches!(result, Err(MapPoolError::Memory(MapError::NotSealed))), "{seals:?}: {result:?}");
    }
    for len in [0, BYTES - 1, BYTES + 1] {
        let result = map(read_only(memfd(len, SEALED)));
        assert!(matches!(result, Err(MapPoolError::Memory(MapError::WrongSize { found, .. })) if found == len));
    }
    let result = map(memfd(BYTES, SEALED));
    assert!(matches!(result, Err(MapPoolError::Memory(MapError::NotReadOnly))));
    let result = map(reopen(memfd(BYTES, SEALED), OFlags::PATH).unwrap());
    assert!(matches!(result, Err(MapPoolError::Memory(MapError::NotReadOnly))));
    let result = map(File::open("/proc/self/exe").unwrap().into());
    assert!(matches!(result, Err(MapPoolError::Memory(MapError::NotSealed))));
}

#[test]
fn memory_that_is_not_as_it_should_be_is_refused_by_the_producer() {
    let map = |fd| WritablePool::map(fd, 7, SHAPE).map(drop);
    assert!(map(memfd(BYTES, SEALED)).is_ok());
    let result = map(create_pool(SHAPE).unwrap().read_only);
    assert!(matches!(result, Err(MapPoolError::Memory(MapError::NotWritable))));
    let result = map(memfd(BYTES, SealFlags::empty()));
    assert!(matches!(result, Err(MapPoolError::Memory(MapError::NotSealed))));
    let result = map(memfd(BYTES - 1, SEALED));
    assert!(matches!(result, Err(MapPoolError::Memory(MapError::WrongSize { .. }))));
    let result = map(memfd(BYTES, SEALED | SealFlags::SEAL));
    assert!(matches!(result, Err(MapPoolError::Memory(MapError::AlreadyMapped))), "nobody could prove it alone");
}

#[test]
fn copies_stay_within_what_was_lent() {
    let (producer, consumer) = pool(SHAPE);
    let mut buffer = producer.acquire().unwrap();
    buffer.fill(9);
    let borrowed = consumer.borrow(buffer.lend(100)).unwrap();
    let refused = Err(OutOfRange { len: 100 });
    assert_eq!(borrowed.copy_to(&mut [0; 99]), refused);
    assert_eq!(borrowed.copy_to(&mut [0; 101]), refused);
    assert_eq!(borrowed.copy_range_to(90, &mut [0; 10]), Ok(()));
    assert_eq!(borrowed.copy_range_to(91, &mut [0; 10]), refused);
    assert_eq!(borrowed.copy_range_to(usize::MAX, &mut [0; 10]), refused);
    assert_eq!(borrowed.copy_range_to(100, &mut []), Ok(()));

    let rows = |offset, stride, width, count| Rows { offset, stride, width, count };
    assert_eq!(borrowed.copy_rows_to(rows(0, 40, 20, 3), &mut [0; 60]), Ok(()));
    assert_eq!(borrowed.copy_rows_to(rows(1, 40, 20, 3), &mut [0; 60]), refused);
    assert_eq!(borrowed.copy_rows_to(rows(0, 40, 20, 3), &mut [0; 61]), refused);
    assert_eq!(borrowed.copy_rows_to(rows(0, usize::MAX, 20, 3), &mut [0; 60]), refused);
    assert_eq!(borrowed.copy_rows_to(rows(usize::MAX, 1, 1, 1), &mut [0; 1]), refused);
    assert_eq!(borrowed.copy_rows_to(rows(0, 0, usize::MAX, 2), &mut []), refused);
    assert_eq!(borrowed.copy_rows_to(rows(0, 5, 0, 9), &mut []), Ok(()));
    assert_eq!(borrowed.copy_rows_to(rows(101, 5, 7, 0), &mut []), refused);
}

proptest! {
    #[test]
    fn copies_are_what_slices_would_be(
        offset in 0usize..200,
        stride in 0usize..60,
        width in 0usize..60,
        count in 0usize..12,
        len in 0usize..700,
    ) {
        let (producer, consumer) = pool(PoolShape { buffer_size: 700, count: 2 });
        let plain: Vec<u8> = (0..251).cycle().take(len).collect();
        let _first = producer.acquire().unwrap();
        let mut buffer = producer.acquire().unwrap();
        buffer[..len].copy_from_slice(&plain);
        let borrowed = consumer.borrow(buffer.lend(len)).unwrap();

        let mut copy = vec![255; width];
        let expected = plain.get(offset..offset + width);
        prop_assert_eq!(borrowed.copy_range_to(offset, &mut copy).ok().map(|()| &copy[..]), expected);

        let mut packed = vec![255; width * count];
        let rows = Rows { offset, stride, width, count };
        let expected: Option<Vec<&[u8]>> =
            (0..count).map(|row| plain.get(offset + row * stride..offset + row * stride + width)).collect();
        let expected = expected.filter(|_| offset <= len).map(|rows| rows.concat());
        prop_assert_eq!(borrowed.copy_rows_to(rows, &mut packed).ok().map(|()| packed), expected);
    }
}

#[test]
fn handing_on_pictures_causes_no_page_fault_once_each_buffer_was_used() {
    let shape = PoolShape { buffer_size: 1280 * 720 * 3 / 2, count: 4 };
    let mut picture = vec![1; 1280 * 720 * 3 / 2];
    let (producer, consumer) = pool(shape);
    let mut faults_of_a_round = |pixel| {
        let before = getrusage(UsageWho::RUSAGE_THREAD).unwrap().minor_page_faults();
        while let Some(mut buffer) = producer.acquire() {
            buffer.fill(pixel);
            let borrowed = consumer.borrow(buffer.lend(picture.len())).unwrap();
            borrowed.copy_to(&mut picture).unwrap(); // not given back: each buffer is used once
        }
        let after = getrusage(UsageWho::RUSAGE_THREAD).unwrap().minor_page_faults();
        assert!(picture.iter().all(|&byte| byte == pixel));
        assert_eq!(producer.return_all(), 4);
        after - before
    };
    assert!(faults_of_a_round(7) > 0, "the reader's first look at each page");
    // The least of several: the system may cause a fault of its own at any time.
    assert_eq!((0..5).map(&mut faults_of_a_round).min(), Some(0));
}

/// A pool's size is its producer's choice; mapping it is the work of others.
#[test]
fn mapping_a_large_pool_to_read_it_costs_no_more_than_a_small_one() {
    let faults_of = |buffer_size| {
        let shape = PoolShape { buffer_size, count: 1 };
        let pool = create_pool(shape).unwrap();
        let before = getrusage(UsageWho::RUSAGE_THREAD).unwrap().minor_page_faults();
        let mapped = ReadablePool::map(pool.read_only, 1, shape).unwrap();
        let after = getrusage(UsageWho::RUSAGE_THREAD).unwrap().minor_page_faults();
        drop(mapped);
        after - before
    };
    let least = |buffer_size| (0..5).map(|_| faults_of(buffer_size)).min();
    assert_eq!(least(512 << 20), least(1));
}
