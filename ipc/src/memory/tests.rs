//! What a hostile holder of a pool's descriptors tries that safe code cannot say.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect, munmap};

use super::{ReadableMemory, WritableMemory};
use crate::{PoolShape, create_pool};

const LEN: usize = 8192;

fn memory() -> (OwnedFd, OwnedFd) {
    let pool = create_pool(PoolShape { buffer_size: 4096, count: 2 }).expect("a pool");
    (pool.writable, pool.read_only)
}

/// Maps and unmaps at once: says only whether it could be done.
fn try_map(fd: BorrowedFd<'_>, protection: ProtFlags, flags: MapFlags) -> rustix::io::Result<()> {
    // SAFETY: a new map where nothing else is; it is not accessed.
    let start = unsafe { mmap(ptr::null_mut(), LEN, protection, flags, fd, 0) }?;
    // SAFETY: the map just made, of which nobody else knows.
    unsafe { munmap(start, LEN) }
}

fn writable() -> ProtFlags {
    ProtFlags::READ | ProtFlags::WRITE
}

#[test]
fn a_consumer_cannot_map_for_writing() {
    let (_writable, read_only) = memory();
    assert_eq!(try_map(read_only.as_fd(), ProtFlags::READ, MapFlags::SHARED), Ok(()));
    assert_eq!(try_map(read_only.as_fd(), writable(), MapFlags::SHARED), Err(Errno::ACCESS));
    assert_eq!(try_map(read_only.as_fd(), ProtFlags::WRITE, MapFlags::SHARED), Err(Errno::ACCESS));
}

#[test]
fn a_consumer_cannot_make_its_map_writable() {
    let (_writable, read_only) = memory();
    let memory = ReadableMemory::new(read_only.as_fd(), LEN).expect("a map");
    // SAFETY: if it worked, reads would still be reads.
    let made = unsafe { mprotect(memory.start().as_ptr().cast(), LEN, MprotectFlags::READ | MprotectFlags::WRITE) };
    assert_eq!(made, Err(Errno::ACCESS));
}

#[test]
fn nobody_maps_for_writing_after_the_producer() {
    let (fd, read_only) = memory();
    let duplicate = fd.try_clone().expect("a duplicate");
    assert_eq!(try_map(duplicate.as_fd(), writable(), MapFlags::SHARED), Ok(()));
    let _producer = WritableMemory::new(fd.as_fd(), 4096, 4096, 2).expect("a map");
    assert_eq!(try_map(duplicate.as_fd(), writable(), MapFlags::SHARED), Err(Errno::PERM));
    assert_eq!(try_map(duplicate.as_fd(), ProtFlags::READ, MapFlags::SHARED), Ok(()));
    assert_eq!(try_map(read_only.as_fd(), writable(), MapFlags::PRIVATE), Ok(()), "a private copy harms nobody");
}

#[test]
fn a_part_is_out_once() {
    let (fd, _read_only) = memory();
    let memory = WritableMemory::new(fd.as_fd(), 4096, 4096, 2).expect("a map");
    let mut first = memory.take(0).expect("it is there");
    assert!(memory.take(0).is_none());
    let mut second = memory.take(1).expect("it is there");
    assert!(memory.take(2).is_none(), "there are two");
    first.fill(1);
    second.fill(2);
    assert!(first.iter().all(|&byte| byte == 1) && second.iter().all(|&byte| byte == 2), "parts do not overlap");
    drop(first);
    let again = memory.take(0).expect("it came back");
    assert!(again.iter().all(|&byte| byte == 1));
}

#[test]
fn a_copy_is_every_byte_wherever_it_starts_and_ends() {
    let (fd, read_only) = memory();
    let producer = WritableMemory::new(fd.as_fd(), LEN, LEN, 1).expect("a map");
    let consumer = ReadableMemory::new(read_only.as_fd(), LEN).expect("a map");
    let plain: Vec<u8> = (0..251).cycle().take(LEN).collect();
    producer.take(0).expect("it is there").copy_from_slice(&plain);
    for start in (0..20).chain(LEN - 20..=LEN) {
        for len in (0..40).filter(|len| start + len <= LEN) {
            let mut copy = vec![255; len];
            consumer.copy(start, &mut copy);
            assert_eq!(copy, plain[start..start + len], "{len} bytes from {start}");
        }
    }
}

#[test]
#[should_panic(expected = "past the end of the map")]
fn a_copy_from_behind_the_end_panics() {
    let (_writable, read_only) = memory();
    ReadableMemory::new(read_only.as_fd(), LEN).expect("a map").copy(LEN - 1, &mut [0; 2]);
}
