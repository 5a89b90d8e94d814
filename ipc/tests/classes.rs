//! Every class of descriptor, as it is found on arrival.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};

use cloison_ipc::{Passed, PoolShape, ProcessIpc, create_pool};
use cloison_msg::{Descriptor, DescriptorClasses};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Sends a descriptor through a link and says as what it arrives.
fn class_on_arrival(fd: impl AsFd) -> DescriptorClasses {
    let (a, b) = ProcessIpc::pair().expect("the system does its part");
    a.send(b"!", &[fd.as_fd()]).expect("the system does its part");
    let mut descriptors = Vec::new();
    b.recv(&mut [0; 8], &mut descriptors).expect("the system does its part");
    assert_eq!(descriptors.len(), 1);
    descriptors[0].class()
}

fn open(path: &str, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).expect("the system does its part")
}

fn memfd(seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("the system does its part");
    fcntl_add_seals(&fd, seals).expect("the system does its part");
    fd
}

fn socket(family: AddressFamily, kind: SocketType) -> OwnedFd {
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).expect("the system does its part")
}

#[test]
fn both_descriptors_of_a_pool_are_sealed_buffers() {
    let pool = create_pool(PoolShape { buffer_size: 1, count: 1 }).unwrap();
    assert_eq!(class_on_arrival(&pool.writable), DescriptorClasses::SEALED_BUFFER);
    assert_eq!(class_on_arrival(&pool.read_only), DescriptorClasses::SEALED_BUFFER);
    assert_eq!(Passed::new(pool.writable).class(), DescriptorClasses::SEALED_BUFFER, "before it is sent, too");
}

#[test]
fn memory_that_can_change_its_length_is_only_a_file() {
    for seals in [SealFlags::empty(), SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL | SealFlags::WRITE] {
        assert_eq!(class_on_arrival(memfd(seals)), DescriptorClasses::READ_WRITE_FILE);
    }
}

#[test]
fn files_are_classed_by_how_they_are_open() {
    let path = std::env::temp_dir().join(format!("cloison-classes-{}", std::process::id()));
    let writer = File::create(&path).unwrap();
    let both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let reader = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(class_on_arrival(reader), DescriptorClasses::READ_ONLY_FILE);
    assert_eq!(class_on_arrival(writer), DescriptorClasses::READ_WRITE_FILE);
    assert_eq!(class_on_arrival(both), DescriptorClasses::READ_WRITE_FILE);
}

#[test]
fn pipes_are_pipes() {
    let (reader, writer) = std::io::pipe().unwrap();
    assert_eq!(class_on_arrival(reader), DescriptorClasses::PIPE);
    assert_eq!(class_on_arrival(writer), DescriptorClasses::PIPE);
}

#[test]
fn sockets_of_ordinary_families_are_sockets() {
    let (a, _b) = ProcessIpc::pair().unwrap();
    assert_eq!(class_on_arrival(&a), DescriptorClasses::SOCKET);
    for family in [AddressFamily::UNIX, AddressFamily::INET] {
        assert_eq!(class_on_arrival(socket(family, SocketType::STREAM)), DescriptorClasses::SOCKET);
    }
}

#[test]
fn a_socket_can_carry_its_own_other_end() {
    let (a, b) = ProcessIpc::pair().unwrap();
    a.send(b"!", &[b.as_fd()]).unwrap();
    let mut descriptors = Vec::new();
    b.recv(&mut [0; 8], &mut descriptors).unwrap();
    assert_eq!(descriptors[0].class(), DescriptorClasses::SOCKET);
}

#[test]
fn everything_else_is_other() {
    let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap();
    let eventfd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let others = [
        ("directory", open("/", OFlags::RDONLY | OFlags::DIRECTORY)),
        ("path of a directory", open("/", OFlags::PATH)),
        ("path of a file", open("/proc/self/exe", OFlags::PATH)),
        ("device", open("/dev/null", OFlags::RDWR)),
        ("netlink", socket(AddressFamily::NETLINK, SocketType::RAW)),
        ("epoll", epoll),
        ("eventfd", eventfd),
    ];
    for (name, fd) in others {
        assert_eq!(class_on_arrival(fd), DescriptorClasses::OTHER, "{name}");
    }
}
