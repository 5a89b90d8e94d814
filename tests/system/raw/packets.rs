//! Messages as they travel, sound or not.

use std::sync::atomic::{AtomicU64, Ordering};

use cloison_broker::msg::control::ToBroker;
use cloison_broker::msg::{CallId, Destination, Header, Kind, LinkRef};

use crate::words::encoded;

/// A message as it travels.
pub fn packet(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header.encode().to_vec();
    bytes.extend(payload);
    bytes
}

/// Calls of one end are numbered in growing order, and so are all of these tests.
static CALLS: AtomicU64 = AtomicU64::new(1);

/// A message of this kind and method, with whatever else its header needs to be sound.
pub fn message_packet(to: Destination, kind: Kind, rpc: cloison_broker::msg::RpcIndex, payload: &[u8]) -> Vec<u8> {
    use cloison_broker::msg::ChainId;
    let called = matches!(kind, Kind::Call | Kind::Reply | Kind::Error | Kind::Cancel | Kind::Probe);
    let header = Header {
        destination: to,
        rpc,
        kind,
        payload: u32::try_from(payload.len()).expect("short"),
        call: CallId(if kind == Kind::Call { CALLS.fetch_add(1, Ordering::Relaxed) } else { u64::from(called) }),
        chain: ChainId(77),
        remaining: if kind == Kind::Call { 5_000_000 } else { 0 },
        ..Header::default()
    };
    packet(&header, payload)
}

/// A message that carries these links.
pub fn carrying_packet(to: Destination, kind: Kind, rpc: cloison_broker::msg::RpcIndex, links: &[LinkRef]) -> Vec<u8> {
    let mut bytes = message_packet(to, kind, rpc, &[]);
    bytes[37] = u8::try_from(links.len()).expect("few");
    bytes.extend(links.iter().flat_map(LinkRef::encode));
    bytes
}

/// A control word as it travels.
pub fn word_packet(word: &ToBroker) -> Vec<u8> {
    let payload = encoded(word);
    let len = u32::try_from(payload.len()).expect("short");
    packet(&Header { kind: Kind::Control, payload: len, ..Header::default() }, &payload)
}
