//! What happens at the limit of open descriptors. One test, since the limit and the count are the whole process's.

use std::os::fd::{AsFd, AsRawFd};

use cloison_ipc::{PoolShape, ProcessIpc, ReadablePool, RecvError, WritablePool, create_pool};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

/// Runs `body` in a process that can open no further descriptor.
fn at_the_limit(body: impl FnOnce()) {
    let before = getrlimit(Resource::Nofile);
    let (first_free, _) = std::io::pipe().expect("a pipe");
    let none_left = Rlimit { current: u64::try_from(first_free.as_raw_fd()).ok(), maximum: before.maximum };
    drop(first_free);
    setrlimit(Resource::Nofile, none_left).expect("a lower limit");
    body();
    setrlimit(Resource::Nofile, before).expect("the old limit");
}

#[test]
fn no_descriptor_is_leaked() {
    let (a, b) = ProcessIpc::pair().unwrap();
    let before = open_descriptors();

    a.send(b"one too many", &[a.as_fd()]).unwrap();
    at_the_limit(|| {
        let mut descriptors = Vec::new();
        assert!(matches!(b.recv(&mut [0; 64], &mut descriptors), Err(RecvError::DescriptorsLost)));
        assert!(descriptors.is_empty());
    });

    for round in 0..100 {
        a.send(b"three, taken", &[a.as_fd(), b.as_fd(), a.as_fd()]).unwrap();
        b.recv(&mut [0; 64], &mut Vec::new()).unwrap();
        a.send(b"two, refused", &[a.as_fd(), b.as_fd()]).unwrap();
        assert!(b.recv(&mut [0; 4], &mut Vec::new()).is_err());
        let shape = PoolShape { buffer_size: 1 << (round % 16), count: 4 };
        let new = create_pool(shape).unwrap();
        let consumer = ReadablePool::map(new.read_only, 0, shape).unwrap();
        let producer = WritablePool::map(new.writable, 0, shape).unwrap();
        let borrowed = consumer.borrow(producer.acquire().unwrap().lend(1)).unwrap();
        producer.returned(borrowed.give_back()).unwrap();
    }
    assert_eq!(open_descriptors(), before);
}
