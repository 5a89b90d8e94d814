//! A confined worker can do everything here that a worker has to do, and its profile hears of no forbidden call.
//!
//! The executable is its own worker, hence no test harness of the usual kind.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, which this harness has not")]

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use cloison_ipc::{BufferRef, Passed, PoolShape, ProcessIpc, ReadablePool, RecvError, WritablePool, create_pool};
use cloison_msg::{Descriptor, DescriptorClasses};
use cloison_sandbox::{Exit, Launch, Launcher, Tier};
use libtest_mimic::{Arguments, Trial};

const SHAPE: PoolShape = PoolShape { buffer_size: 100_000, count: 3 };

fn main() -> ExitCode {
    if cloison_sandbox::is_worker().is_some() {
        work();
        return ExitCode::SUCCESS;
    }
    let trial = Trial::test("a_confined_worker_can_do_its_part", || {
        a_confined_worker_can_do_its_part();
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

/// Hands a worker one end of a link, the writable side of one pool, the read-only side of another, and a picture in
/// that; gets the picture back, copied into the first.
fn a_confined_worker_can_do_its_part() {
    let launcher = Launcher::new().unwrap();
    for tier in [Tier::Full, Tier::NoUserNs] {
        let (control, theirs) = ProcessIpc::pair().unwrap();
        let launch = Launch { least: tier, most: tier, ..Launch::own("worker") };
        let mut child = match launcher.launch(launch, theirs.into()) {
            Ok(child) => child,
            Err(error) => {
                assert_eq!(tier, Tier::Full, "{error}");
                continue; // not every system has user namespaces
            }
        };
        let (link, their_link) = ProcessIpc::pair().unwrap();
        let (source, target) = (create_pool(SHAPE).unwrap(), create_pool(SHAPE).unwrap());
        let passed = [their_link.as_fd(), source.read_only.as_fd(), target.writable.as_fd()];
        control.send(b"here you are", &passed).unwrap();
        drop(their_link);
        let source = WritablePool::map(source.writable, 1, SHAPE).unwrap();
        let target = ReadablePool::map(target.read_only, 2, SHAPE).unwrap();

        let mut buffer = source.acquire().unwrap();
        buffer.fill(42);
        link.send(&encode(buffer.lend(100_000)), &[]).unwrap();
        let borrowed = target.borrow(receive(&link).unwrap()).unwrap();
        let mut picture = vec![0; 100_000];
        borrowed.copy_to(&mut picture).unwrap();
        assert!(picture.iter().all(|&byte| byte == 42));

        link.shutdown().unwrap();
        let ended = child.wait(Duration::from_secs(20)).unwrap().unwrap();
        assert_eq!(ended.exit, Exit::Code(0), "{tier}");
        assert!(child.violations().calls().is_empty(), "{tier}: {:?}", child.violations());
    }
}

/// The worker: copies a picture from the pool it was lent one of into its own, and lends that.
fn work() {
    let control = ProcessIpc::from_fd(cloison_sandbox::enter().unwrap()).unwrap();
    let mut descriptors = Vec::new();
    control.recv(&mut [0; 64], &mut descriptors).unwrap();
    let classes: Vec<_> = descriptors.iter().map(Passed::class).collect();
    let sealed = DescriptorClasses::SEALED_BUFFER;
    assert_eq!(classes, [DescriptorClasses::SOCKET, sealed, sealed]);

    let mut descriptors = descriptors.into_iter().map(Passed::into_fd);
    let link = ProcessIpc::from_fd(descriptors.next().unwrap()).unwrap();
    let source = ReadablePool::map(descriptors.next().unwrap(), 1, SHAPE).unwrap();
    let target = WritablePool::map(descriptors.next().unwrap(), 2, SHAPE).unwrap();

    let borrowed = source.borrow(receive(&link).unwrap()).unwrap();
    let mut buffer = target.acquire().unwrap();
    borrowed.copy_to(&mut buffer).unwrap();
    let link = link.try_clone().unwrap();
    link.try_send(&encode(buffer.lend(100_000)), &[]).unwrap();
    assert!(matches!(receive(&link), Err(RecvError::Closed)));
}

fn encode(reference: BufferRef) -> Vec<u8> {
    postcard::to_allocvec(&reference).unwrap()
}

fn receive(link: &ProcessIpc) -> Result<BufferRef, RecvError> {
    let mut packet = [0; 64];
    let len = link.recv(&mut packet, &mut Vec::new())?;
    Ok(postcard::from_bytes(&packet[..len]).unwrap())
}
