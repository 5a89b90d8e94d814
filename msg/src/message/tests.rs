use super::*;
use crate::{Destination, HeaderError, Kind, Messages, Reader, RecvError};

#[test]
fn left_overs_are_refused() {
    let mut message = Message::new();
    message.append(&1u32).unwrap().append_bytes(b"abc").unwrap().attach('d').unwrap();
    let payload = message.payload().to_vec();
    let mut reader = Reader::new(&payload, message.take_descriptors());
    assert_eq!(reader.recv::<u32>(), Ok(1));
    assert_eq!(reader.recv::<&[u8]>(), Ok(&b"abc"[..]));
    assert_eq!(reader.recv::<u8>(), Err(RecvError::Value));
    assert_eq!(reader.finish(), Err(RecvError::LeftOverDescriptors(1)));
    assert_eq!(Reader::<()>::new(&payload, Vec::new()).finish(), Err(RecvError::LeftOver(payload.len())));
}

#[test]
fn a_full_message_keeps_what_it_has() {
    let mut message = Message::<()>::new();
    message.append(&1u8).unwrap();
    assert_eq!(message.append_bytes(&[0; PAYLOAD_MAX]).unwrap_err(), AppendError::TooLong);
    assert_eq!(message.payload(), [1]);
    message.append_bytes(&[0; PAYLOAD_MAX - 4]).unwrap();
    assert_eq!(message.payload().len(), PAYLOAD_MAX);
    for _ in 0..DESCRIPTORS_MAX {
        message.attach(()).unwrap();
    }
    assert_eq!(message.attach(()).unwrap_err(), AppendError::TooManyDescriptors);
}

#[test]
fn carried_links_stand_behind_the_payload() {
    let name = |index| Destination { index, generation: 1 };
    let mut message = Message::<()>::new();
    message.append(&7u8).unwrap().append_link(&name(3), &Rights::default()).unwrap();
    let header = Header { kind: Kind::Oneway, links: 1, payload: 1, ..Header::default() };
    assert_eq!(message.shape(), header.shape());
    for _ in 0..2 {
        let packet = message.packet(&header).to_vec();
        assert_eq!(packet.len(), header.message_len());
        let carried = LinkRef::decode_all(&packet[header.links_at()..]).unwrap();
        assert_eq!(carried, message.links());
        assert_eq!(message.payload(), [7]);
    }
    message.append(&8u8).unwrap().move_link(&name(4), &Rights::default()).unwrap();
    assert_eq!(message.payload(), [7, 8]);
    for _ in 0..2 {
        message.append_link(&name(5), &Rights::default()).unwrap();
    }
    assert_eq!(message.append_link(&name(5), &Rights::default()).unwrap_err(), AppendError::TooManyLinks);
    message.append_bytes(&vec![0; PAYLOAD_MAX - LINKS_MAX * LINK_REF_LEN - 5]).unwrap();
    assert_eq!(message.packet(&header).len(), PACKET_MAX);
    assert_eq!(message.append(&1u8).unwrap_err(), AppendError::TooLong);
}

#[test]
fn links_that_nobody_received_are_left_over() {
    let name = Destination { index: 3, generation: 1 };
    let mut reader = Reader::<()>::new(&[], Vec::new()).with_links(vec![name, name]);
    assert_eq!(reader.link(), Ok(name));
    assert_eq!(reader.links_left(), [name]);
    assert_eq!(reader.finish(), Err(RecvError::LeftOverLinks(1)));
}

#[test]
fn a_packet_is_walked_message_by_message() {
    let header = Header { destination: Destination { index: 1, generation: 1 }, payload: 2, ..Header::default() };
    let mut packet = header.encode().to_vec();
    packet.extend([1, 2]);
    let first_len = packet.len();
    packet.extend(Header { kind: Kind::Release, payload: 0, ..header }.encode());
    let starts: Vec<_> = Messages::new(&packet).map(|message| message.unwrap().0).collect();
    assert_eq!(starts, [0, first_len]);
    let cut: Vec<_> = Messages::new(&packet[..first_len - 1]).collect();
    assert_eq!(cut, [Err(HeaderError::Cut { announced: first_len, found: first_len - 1 })]);
}
