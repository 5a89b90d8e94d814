//! One end of a link, against an honest peer, a dead one and a hostile one.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use cloison_ipc::{AdoptError, BRIEF_WAIT_MAX, Passed, ProcessIpc, RecvError, SendError};
use cloison_msg::{DESCRIPTORS_MAX, PACKET_MAX};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

fn pair() -> (ProcessIpc, ProcessIpc) {
    ProcessIpc::pair().expect("a pair")
}

/// Receives without waiting, into as much room as any packet needs.
fn try_recv(ipc: &ProcessIpc, descriptors: &mut Vec<Passed>) -> Result<Vec<u8>, RecvError> {
    let mut buffer = vec![0; PACKET_MAX];
    let len = ipc.try_recv(&mut buffer, descriptors)?;
    buffer.truncate(len);
    Ok(buffer)
}

fn raw_send(ipc: &ProcessIpc, packet: &[u8]) {
    rustix::net::send(ipc, packet, SendFlags::empty()).expect("a packet is sent");
}

/// Whether nobody holds the writing end of a pipe any more. A duplicate in flight or leaked would make this hang, so the
/// reading end is asked without waiting.
fn is_hung_up(mut reader: std::io::PipeReader) -> bool {
    fcntl_setfl(&reader, OFlags::NONBLOCK).expect("a pipe takes the flag");
    reader.read(&mut [0]).is_ok_and(|len| len == 0)
}

#[test]
fn ends_are_shared_between_threads() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<ProcessIpc>();
}

#[test]
fn packets_keep_their_boundaries() {
    let (a, b) = pair();
    for packet in [&b"one"[..], b"2", b"three"] {
        a.send(packet, &[]).unwrap();
    }
    let received: Vec<_> = (0..3).map(|_| try_recv(&b, &mut Vec::new()).unwrap()).collect();
    assert_eq!(received, [&b"one"[..], b"2", b"three"]);
    assert!(matches!(try_recv(&b, &mut Vec::new()), Err(RecvError::WouldBlock)));
}

#[test]
fn the_longest_packet_passes_and_a_longer_one_is_refused() {
    let (a, b) = pair();
    let packet: Vec<u8> = (0..251).cycle().take(PACKET_MAX + 1).collect();
    a.send(&packet[..PACKET_MAX], &[]).unwrap();
    assert_eq!(try_recv(&b, &mut Vec::new()).unwrap(), packet[..PACKET_MAX]);
    assert!(matches!(a.send(&packet, &[]), Err(SendError::TooLong { len }) if len == PACKET_MAX + 1));
    assert!(matches!(a.send(&[], &[]), Err(SendError::Empty)));
    assert!(matches!(try_recv(&b, &mut Vec::new()), Err(RecvError::WouldBlock)), "nothing of either was sent");
}

#[test]
fn a_full_queue_is_reported_or_waited_for() {
    let (a, b) = pair();
    let mut sent = 0;
    while a.try_send(&[7; 1024], &[]).is_ok() {
        sent += 1;
    }
    assert!(matches!(a.try_send(&[7; 1024], &[]), Err(SendError::WouldBlock)));
    thread::scope(|scope| {
        scope.spawn(|| a.send(b"after all", &[]).unwrap());
        let mut descriptors = Vec::new();
        let mut buffer = [0; 2048];
        for _ in 0..sent {
            assert_eq!(b.recv(&mut buffer, &mut descriptors).unwrap(), 1024);
        }
        assert_eq!(b.recv(&mut buffer, &mut descriptors).unwrap(), 9);
    });
}

#[test]
fn waiting_calls_wait_even_if_somebody_set_o_nonblock() {
    let (a, b) = pair();
    for end in [&a, &b] {
        let duplicate = end.try_clone().unwrap();
        let flags = fcntl_getfl(&duplicate).unwrap();
        fcntl_setfl(&duplicate, flags | OFlags::NONBLOCK).unwrap();
    }
    thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut buffer = [0; 1024];
            (0..500).map(|_| b.recv(&mut buffer, &mut Vec::new()).unwrap()).sum::<usize>()
        });
        thread::sleep(Duration::from_millis(20));
        for _ in 0..500 {
            a.send(&[1; 1000], &[]).unwrap();
        }
        assert_eq!(receiver.join().unwrap(), 500_000);
    });
}

#[test]
fn last_words_of_a_dead_peer_are_read() {
    let (a, b) = pair();
    a.send(b"never read", &[]).unwrap();
    b.send(b"last", &[]).unwrap();
    b.send(b"words", &[]).unwrap();
    drop(b);
    assert_eq!(try_recv(&a, &mut Vec::new()).unwrap(), b"last");
    assert_eq!(try_recv(&a, &mut Vec::new()).unwrap(), b"words");
    assert!(matches!(try_recv(&a, &mut Vec::new()), Err(RecvError::Closed)));
    assert!(matches!(a.recv(&mut [0; 8], &mut Vec::new()), Err(RecvError::Closed)));
}

#[test]
fn sending_to_a_dead_peer_is_an_error_and_no_signal() {
    let (a, b) = pair();
    drop(b);
    assert!(matches!(a.send(b"?", &[]), Err(SendError::Closed)));
    assert!(matches!(a.try_send(b"?", &[]), Err(SendError::Closed)));

    let (a, b) = pair();
    a.send(b"never read", &[]).unwrap();
    drop(b);
    assert!(matches!(a.send(b"?", &[]), Err(SendError::Closed)), "ECONNRESET says the same");
}

#[test]
fn an_empty_packet_reads_as_the_end() {
    let (a, b) = pair();
    raw_send(&a, b"");
    assert!(matches!(try_recv(&b, &mut Vec::new()), Err(RecvError::Closed)));
}

#[test]
fn a_packet_longer_than_the_room_is_refused_with_its_descriptors() {
    let (a, b) = pair();
    let (reader, writer) = std::io::pipe().unwrap();
    a.send(b"longer than that", &[writer.as_fd()]).unwrap();
    drop(writer);
    let mut descriptors = Vec::new();
    assert!(matches!(b.recv(&mut [0; 8], &mut descriptors), Err(RecvError::TooLong { room: 8 })));
    assert!(descriptors.is_empty() && is_hung_up(reader));
    a.send(b"next", &[]).unwrap();
    assert_eq!(try_recv(&b, &mut descriptors).unwrap(), b"next");
}

#[test]
fn descriptors_arrive_in_order_and_close_on_exec() {
    let (a, b) = pair();
    let pipes: Vec<_> = (0..DESCRIPTORS_MAX).map(|_| std::io::pipe().unwrap()).collect();
    let writers: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
    a.send(b"all of them", &writers).unwrap();
    let mut descriptors = Vec::new();
    assert_eq!(try_recv(&b, &mut descriptors).unwrap(), b"all of them");
    assert_eq!(descriptors.len(), DESCRIPTORS_MAX);
    for (received, sent) in descriptors.iter().zip(&writers) {
        let inode = |fd| rustix::fs::fstat(fd).unwrap().st_ino;
        assert_eq!(inode(received.as_fd()), inode(*sent));
        assert!(fcntl_getfd(received).unwrap().contains(FdFlags::CLOEXEC));
    }

    a.send(b"one, waited for", &[a.as_fd()]).unwrap();
    descriptors.clear();
    b.recv(&mut [0; 64], &mut descriptors).unwrap();
    assert!(fcntl_getfd(&descriptors[0]).unwrap().contains(FdFlags::CLOEXEC));
}

#[test]
fn ends_close_on_exec() {
    let (a, b) = pair();
    for end in [&a, &b, &a.try_clone().unwrap()] {
        assert!(fcntl_getfd(end).unwrap().contains(FdFlags::CLOEXEC));
    }
}

#[test]
fn more_descriptors_than_a_packet_carries_are_not_sent() {
    let (a, _b) = pair();
    let many = [a.as_fd(); DESCRIPTORS_MAX + 1];
    assert!(matches!(a.send(b"many", &many), Err(SendError::TooManyDescriptors { count: 17 })));
}

#[test]
fn a_hostile_packet_with_too_many_descriptors_is_refused_and_all_are_closed() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg};

    let (a, b) = pair();
    for count in [DESCRIPTORS_MAX + 1, 253] {
        let (reader, writer) = std::io::pipe().unwrap();
        let many = vec![writer.as_fd(); count];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
        sendmsg(&a, &[std::io::IoSlice::new(b"many")], &mut control, SendFlags::empty()).unwrap();
        drop(writer);
        let mut descriptors = Vec::new();
        assert!(matches!(try_recv(&b, &mut descriptors), Err(RecvError::DescriptorsLost)));
        assert!(descriptors.is_empty() && is_hung_up(reader));
    }
}

#[test]
fn shutdown_through_a_duplicate_ends_the_link_for_all_and_keeps_what_is_queued() {
    let (a, b) = pair();
    let duplicate = a.try_clone().unwrap();
    a.send(b"queued", &[]).unwrap();
    duplicate.shutdown().unwrap();
    assert_eq!(try_recv(&b, &mut Vec::new()).unwrap(), b"queued");
    for end in [&a, &b] {
        assert!(matches!(try_recv(end, &mut Vec::new()), Err(RecvError::Closed)));
        assert!(matches!(end.send(b"?", &[]), Err(SendError::Closed)));
    }
    drop(b);
    duplicate.shutdown().unwrap();
}

#[test]
fn discarding_takes_no_descriptor_in() {
    let (a, b) = pair();
    let (reader, writer) = std::io::pipe().unwrap();
    for _ in 0..5 {
        a.send(&[9; 100], &[writer.as_fd()]).unwrap();
    }
    drop(writer);
    assert_eq!(b.discard_queued().unwrap(), 5);
    assert!(is_hung_up(reader));
    assert!(matches!(a.send(b"?", &[]), Err(SendError::Closed)));
    assert_eq!(b.discard_queued().unwrap(), 0);
}

#[test]
fn an_end_that_refuses_descriptors_does_so_wherever_it_is_handed_on() {
    let (a, b) = pair();
    if !b.refuse_descriptors().unwrap() {
        return; // before Linux 6.16: nothing is promised
    }
    let (carrier, out) = pair();
    carrier.send(b"an end", &[b.as_fd()]).unwrap();
    drop(b);
    let mut descriptors = Vec::new();
    try_recv(&out, &mut descriptors).unwrap();
    let b = ProcessIpc::from_fd(descriptors.remove(0).into_fd()).unwrap();

    assert!(matches!(a.send(b"with", &[carrier.as_fd()]), Err(SendError::DescriptorsRefused)));
    a.send(b"without", &[]).unwrap();
    assert_eq!(try_recv(&b, &mut descriptors).unwrap(), b"without");
    b.send(b"the other way", &[carrier.as_fd()]).unwrap();
    assert_eq!(try_recv(&a, &mut descriptors).unwrap(), b"the other way");
    assert_eq!(descriptors.len(), 1);
}

#[test]
fn only_ends_of_links_are_adopted() {
    let (a, b) = pair();
    let a = ProcessIpc::from_fd(OwnedFd::from(a)).unwrap();
    a.send(b"adopted", &[]).unwrap();
    assert_eq!(try_recv(&b, &mut Vec::new()).unwrap(), b"adopted");

    for kind in [SocketType::STREAM, SocketType::DGRAM] {
        let (wrong, _) = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        assert!(matches!(ProcessIpc::from_fd(wrong), Err(AdoptError::WrongKind)));
    }
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(ProcessIpc::from_fd(tcp.into()), Err(AdoptError::WrongKind)));
    let (pipe, _) = std::io::pipe().unwrap();
    assert!(matches!(ProcessIpc::from_fd(pipe.into()), Err(AdoptError::Unknown(_))));
}

#[test]
fn a_brief_wait_ends_with_a_packet_or_soon() {
    let (a, b) = pair();
    let mut buffer = [0; 16];
    let start = Instant::now();
    assert!(matches!(b.recv_briefly(&mut buffer, &mut Vec::new()), Err(RecvError::WouldBlock)));
    assert!(matches!(b.recv_bytes_briefly(&mut buffer), Err(RecvError::WouldBlock)));
    assert!(start.elapsed() < Duration::from_secs(1), "a few ticks, on a busy machine too");

    let late = thread::spawn(move || a.send(b"late", &[]).map(|()| a));
    let received = std::iter::repeat_with(|| b.recv_bytes_briefly(&mut buffer)).find_map(Result::ok);
    assert_eq!(received, Some(4));
    drop(late.join().unwrap().unwrap());
    assert!(matches!(b.recv_briefly(&mut buffer, &mut Vec::new()), Err(RecvError::Closed)));
}

#[test]
fn an_endless_wait_outlasts_the_limit_of_brief_ones() {
    let (a, b) = pair();
    let waiting = thread::spawn(move || b.recv(&mut [0; 16], &mut Vec::new()));
    thread::sleep(BRIEF_WAIT_MAX * 2);
    a.send(b"at last", &[]).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), 7);
}

#[test]
fn bytes_are_received_whole_and_without_descriptors() {
    let (a, b) = pair();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut buffer = [0; 8];
    assert!(matches!(b.try_recv_bytes(&mut buffer), Err(RecvError::WouldBlock)));
    for packet in [&b"eight by"[..], b"too long by far", b"last"] {
        a.send(packet, &[writer.as_fd()]).unwrap();
    }
    drop(writer);
    assert_eq!(b.try_recv_bytes(&mut buffer).unwrap(), 8);
    assert_eq!(&buffer, b"eight by");
    assert!(matches!(b.try_recv_bytes(&mut buffer), Err(RecvError::TooLong { room: 8 })));
    drop(a);
    assert_eq!(b.try_recv_bytes(&mut buffer).unwrap(), 4);
    assert!(matches!(b.try_recv_bytes(&mut buffer), Err(RecvError::Closed)));
    assert!(is_hung_up(reader), "what came along is closed");
}

#[test]
fn an_end_knows_whether_all_was_read() {
    let (a, b) = pair();
    let other = a.try_clone().unwrap();
    assert!(a.is_all_read().unwrap());
    a.send(b"one", &[]).unwrap();
    other.send(b"two", &[]).unwrap();
    b.send(b"that is the other direction", &[]).unwrap();
    try_recv(&b, &mut Vec::new()).unwrap();
    assert!(!a.is_all_read().unwrap() && !other.is_all_read().unwrap());
    try_recv(&b, &mut Vec::new()).unwrap();
    assert!(a.is_all_read().unwrap() && other.is_all_read().unwrap());
    assert!(!b.is_all_read().unwrap());
    // What nobody will ever read is no longer there.
    a.send(b"three", &[]).unwrap();
    drop(b);
    assert!(a.is_all_read().unwrap());
}
