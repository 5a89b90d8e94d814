//! Packets and pictures travel without a single allocation.

use std::os::fd::AsFd;

use allocation_counter::measure;
use cloison_ipc::{PoolShape, ProcessIpc, ReadablePool, WritablePool, create_pool};
use cloison_msg::DESCRIPTORS_MAX;

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1u64)))).count_total, 1);
}

#[test]
fn packets_travel_without_an_allocation() {
    let (a, b) = ProcessIpc::pair().unwrap();
    let mut buffer = vec![0; 4096];
    let mut descriptors = Vec::with_capacity(DESCRIPTORS_MAX);
    let allocations = measure(|| {
        for _ in 0..100 {
            a.send(&[1; 64], &[]).unwrap();
            assert_eq!(b.recv(&mut buffer, &mut descriptors).unwrap(), 64);
            a.try_send(&[2; 64], &[a.as_fd(); DESCRIPTORS_MAX]).unwrap();
            assert_eq!(b.try_recv(&mut buffer, &mut descriptors).unwrap(), 64);
            assert_eq!(descriptors.len(), DESCRIPTORS_MAX);
            descriptors.clear();
            assert!(b.try_recv(&mut buffer, &mut descriptors).is_err());
        }
    });
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn pictures_travel_without_an_allocation() {
    let shape = PoolShape { buffer_size: 100_000, count: 4 };
    let new = create_pool(shape).unwrap();
    let producer = WritablePool::map(new.writable, 0, shape).unwrap();
    let consumer = ReadablePool::map(new.read_only, 0, shape).unwrap();
    let mut picture = vec![0; 100_000];
    let allocations = measure(|| {
        for _ in 0..100 {
            let borrowed = consumer.borrow(producer.acquire().unwrap().lend(100_000)).unwrap();
            borrowed.copy_to(&mut picture).unwrap();
            producer.returned(borrowed.give_back()).unwrap();
        }
    });
    assert_eq!(allocations.count_total, 0);
}
