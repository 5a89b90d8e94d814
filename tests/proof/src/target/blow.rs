//! What a hostile worker does to its socket.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use arbitrary::Arbitrary;
use cloison_broker::ipc::ProcessIpc;
use cloison_msg::control::{PoolShape, ToBroker};
use cloison_msg::{
    CallId, ChainId, Credit, Destination, Header, Kind, LinkRef, Name, PACKET_MAX, Receipt, Rights, Route, RpcIndex,
    RpcSet, Transfer,
};

use super::written;

/// One thing that a hostile worker, or the host, does.
#[derive(Arbitrary, Debug)]
pub(super) enum Blow<'a> {
    /// Bytes that the fuzzer chose, and zeros behind them.
    Raw { bytes: &'a [u8], zeros: u32, bag: Bag },
    /// A message that is nearly right.
    Message { message: Near, twist: Twist, bag: Bag, direct: bool, times: u8 },
    /// Two in one packet.
    Twins { messages: [Near; 2], twist: Twist, bag: Bag },
    /// Something for the broker itself.
    Word { word: u8, link: Pick, number: u32, twist: Twist, bag: Bag, times: u8 },
    /// It reads what lies in its sockets.
    Read,
    /// It closes them.
    HangUp,
    /// The host builds links by another model.
    Model { direct: bool },
    /// The host takes one of its links back.
    Revoke { at: u8 },
}

/// A name that was granted, or one that was made up.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Pick {
    Granted(u8),
    First,
    MadeUp(u8, u8),
}

impl Pick {
    pub(super) fn of(self, names: &[Destination]) -> Destination {
        match self {
            Self::First => names.first().copied().unwrap_or_default(),
            Self::Granted(at) if !names.is_empty() => names[usize::from(at) % names.len()],
            Self::Granted(index) => Destination { index: u32::from(index), generation: 1 },
            Self::MadeUp(index, generation) => {
                Destination { index: u32::from(index % 8), generation: u32::from(generation % 4) }
            }
        }
    }
}

/// One bit that is turned, or more often none: who is evicted at once does nothing worse.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Twist {
    at: u16,
    bit: u8,
}

impl Twist {
    pub(super) fn apply(self, packet: &mut [u8]) {
        if self.bit < 16 && !packet.is_empty() {
            packet[usize::from(self.at) % packet.len()] ^= 1 << (self.bit % 8);
        }
    }
}

/// A message that is nearly right.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Near {
    kind: u8,
    link: Pick,
    rpc: u8,
    /// Whether something in the header is a lie.
    lie: u8,
    call: u8,
    payload: u16,
    carries: u8,
    carried: Pick,
    moves: bool,
    receipt: (bool, u8, u16, u8),
}

impl Near {
    /// Behind so many calls, and with so many descriptors.
    pub(super) fn encode(self, names: &[Destination], calls: &mut u64, descriptors: u8) -> Vec<u8> {
        let kinds = [
            [Kind::Call; 4].as_slice(),
            &[Kind::Oneway; 4],
            &[Kind::Reply, Kind::Error, Kind::Credit, Kind::Credit, Kind::Release, Kind::Switch, Kind::Switch],
        ];
        let kinds = kinds.concat();
        let kind = kinds[usize::from(self.kind) % kinds.len()];
        let payload = self.payload_of(kind);
        let carries = self.carries < 64 && matches!(kind, Kind::Call | Kind::Oneway | Kind::Reply);
        let mut header = Header {
            destination: self.link.of(names),
            rpc: RpcIndex(u16::from(self.rpc % 5 / 4)),
            kind,
            descriptors,
            payload: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            links: u8::from(carries),
            ..Header::default()
        };
        if matches!(kind, Kind::Call) {
            *calls += 1;
            (header.call, header.remaining) = (CallId(*calls), 1_000_000);
        } else if matches!(kind, Kind::Reply | Kind::Error) {
            header.call = CallId(u64::from(self.call % 8));
        }
        self.lie_in(&mut header);
        let transfer = if self.moves { Transfer::Move } else { Transfer::Copy };
        let rights = Rights::methods(RpcSet::first(usize::from(self.rpc % 3))).delegable();
        let carried = carries.then(|| LinkRef { link: self.carried.of(names), transfer, rights }.encode());
        let mut packet = header.encode().to_vec();
        packet.extend(payload);
        packet.extend(carried.into_iter().flatten());
        packet
    }

    fn lie_in(self, header: &mut Header) {
        match self.lie % 64 {
            0 => header.call = CallId(u64::from(self.call)),
            1 => header.call = CallId(u64::from(self.call) << 48 | 1),
            2 => header.descriptors ^= 1,
            3 => header.depth = self.call % 20,
            4 => header.chain = ChainId(u64::from(self.call)),
            5 => header.payload ^= u32::from(self.call),
            6 => header.links ^= 1,
            7 => header.remaining = u32::from(self.call),
            _ => {}
        }
    }

    fn payload_of(self, kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Switch => Vec::new(),
            Kind::Credit => {
                let (direct, messages, bytes, descriptors) = self.receipt;
                let route = if direct { Route::Direct } else { Route::Relayed };
                let (messages, bytes) = (u64::from(messages), u64::from(bytes));
                written(&Receipt { route, taken: Credit { messages, bytes, descriptors: u64::from(descriptors) } })
            }
            _ => vec![7; usize::from(self.payload % 4096)],
        }
    }
}

/// Something for the broker itself.
pub(super) fn word(word: u8, link: Destination, number: u32) -> Vec<u8> {
    let small = u16::try_from(number % 8).unwrap_or_default();
    let roles = ["a", "a", "b", "host", "raw", "nobody"];
    let role = Name::new(roles[number as usize % roles.len()]).expect("a name");
    let interface = Name::new(if number.is_multiple_of(2) { "work" } else { "pipes" }).expect("a name");
    let word = match word % 13 {
        0 => ToBroker::Hello { version: small },
        1 | 2 => ToBroker::Open { request: number, role, interface },
        3 => {
            let shape = PoolShape { buffer_size: number % 100_000, count: small };
            ToBroker::MakePool { request: number, link, shape }
        }
        4 => ToBroker::DropPool { link, pool: u32::from(small) },
        5 => ToBroker::Close { link },
        6 => ToBroker::Accuse { link, what: "noise".into() },
        7 => ToBroker::Left { link, calls: CallId(u64::from(number % 4)) },
        8 | 9 => ToBroker::Settled { link },
        10 => ToBroker::Rest { link },
        11 => ToBroker::Released { link },
        _ => ToBroker::Counted { messages: u64::from(number), bytes: u64::MAX },
    };
    let payload = written(&word);
    let header =
        Header { kind: Kind::Control, payload: u32::try_from(payload.len()).unwrap_or(u32::MAX), ..Header::default() };
    [header.encode().to_vec(), payload].concat()
}

/// No packet is longer than what the system takes at once.
pub(super) fn padded(bytes: &[u8], zeros: u32) -> Vec<u8> {
    let mut packet = bytes.to_vec();
    packet.resize(packet.len() + zeros as usize % (PACKET_MAX + 100), 0);
    packet
}

/// What is attached: mostly nothing.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Bag {
    size: u8,
    kinds: [u8; 2],
}

impl Bag {
    pub(super) const EMPTY: Self = Self { size: 0, kinds: [0; 2] };

    pub(super) fn len(self) -> u8 {
        match self.size {
            0..160 => 0,
            160..230 => 1,
            230.. => 2,
        }
    }

    /// New descriptors each time. `control` is the worker's own end of the socket by which it speaks to the broker.
    pub(super) fn open(self, control: &ProcessIpc) -> io::Result<Vec<OwnedFd>> {
        let open = |kind: &u8| {
            Ok(match kind % 8 {
                0 => File::open("/dev/null")?.into(),
                1 => File::open("/")?.into(),
                2 => File::open("/proc/self/exe")?.into(),
                3 => ProcessIpc::pair()?.0.into(),
                4 => control.as_fd().try_clone_to_owned()?,
                _ => io::pipe()?.0.into(),
            })
        };
        self.kinds[..usize::from(self.len())].iter().map(open).collect()
    }
}
