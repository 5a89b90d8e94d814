//! zbus, peer to peer over a pair of sockets: a proxy and an object server, on either side on a runtime of tokio that is one
//! thread, which took less time across cores than the runtime it brings. Methods are answered in the order of their calls
//! (`spawn = false`): oneways need that, and it spares a task each. Its logging is left out.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use tokio::runtime::Runtime;
use zbus::connection::Builder;
use zbus::message::Flags;
use zbus::proxy::CacheProperties;
use zbus::{Connection, Guid, Message};

use crate::floor::{Far, Peer, Placement, Row, Running};
use crate::{ONEWAYS as COUNT, Words, runtime};

pub const CALL: Row = Row { name: "zbus", against: None, start: start_calls };
/// Calls that ask for no reply, each awaited until it is sent.
pub const ONEWAYS: Row = Row { name: "1000 by zbus", against: None, start: start_oneways };
/// Calls that ask for no reply, given to the library all at once.
pub const ONEWAYS_AT_ONCE: Row = Row { name: "1000 by zbus, at once", against: None, start: start_oneways_at_once };

pub const PARROT: Far = Far { role: "zbus", serve };

const PATH: &str = "/peers/Parrot";
const INTERFACE: &str = "peers.Parrot";

#[zbus::proxy(interface = "peers.Parrot", default_service = "peers.Parrot", default_path = "/peers/Parrot")]
trait Parrot {
    fn say(&self, words: &Words) -> zbus::Result<Words>;

    #[zbus(no_reply)]
    fn tell(&self, words: &Words) -> zbus::Result<()>;

    fn count(&self) -> zbus::Result<u32>;
}

/// Remembers how many words it was told.
struct Bird(u32);

#[zbus::interface(name = "peers.Parrot", spawn = false)]
impl Bird {
    fn say(&self, words: Words) -> Words {
        words
    }

    fn tell(&mut self, words: Words) {
        self.0 += u32::from(words[7] != 0);
    }

    fn count(&mut self) -> u32 {
        std::mem::take(&mut self.0)
    }
}

fn serve(near: BorrowedFd<'_>, _beyond: BorrowedFd<'_>) {
    let near = UnixStream::from(near.try_clone_to_owned().expect("a duplicate"));
    runtime().block_on(async {
        let server = Builder::unix_stream(near).server(Guid::generate()).p2p().serve_at(PATH, Bird(0));
        server.build().await.expect("the caller shakes hands").closed().await;
    });
}

/// A proxy, and what drives it: the socket is closed when both are gone.
struct Caller {
    parrot: ParrotProxy<'static>,
    runtime: Runtime,
}

fn start_calls(placement: Placement) -> Running {
    let (peer, caller) = connect(placement);
    let words = [u64::MAX; 8];
    Running::new(vec![peer.id()], vec![peer], move |count, took| {
        let Caller { parrot, runtime } = &caller;
        runtime.block_on(async {
            for _ in 0..count {
                let start = Instant::now();
                assert_eq!(parrot.say(&words).await.expect("an answer"), words);
                took.push(start.elapsed());
            }
        });
    })
}

fn start_oneways(placement: Placement) -> Running {
    let (peer, caller) = connect(placement);
    Running::timed(vec![peer], move || {
        let Caller { parrot, runtime } = &caller;
        runtime.block_on(async {
            for _ in 0..COUNT {
                parrot.tell(&[1 << 62; 8]).await.expect("the peer is there");
            }
            assert_eq!(parrot.count().await.expect("an answer"), COUNT);
        });
    })
}

fn start_oneways_at_once(placement: Placement) -> Running {
    let (peer, caller) = connect(placement);
    let mut messages = Vec::new();
    Running::timed(vec![peer], move || {
        let Caller { parrot, runtime } = &caller;
        messages.extend((0..COUNT).map(|_| tell(&[1 << 62; 8])));
        runtime.block_on(async {
            parrot.inner().connection().send_all(&messages).await.expect("the peer is there");
            assert_eq!(parrot.count().await.expect("an answer"), COUNT);
        });
        messages.clear();
    })
}

/// What the proxy's method of that name sends.
fn tell(words: &Words) -> Message {
    let message = Message::method_call(PATH, "Tell")
        .destination(INTERFACE)
        .interface(INTERFACE)
        .with_flags(Flags::NO_REPLY_EXPECTED);
    message.build(words).expect("a message")
}

fn connect(placement: Placement) -> (Peer, Caller) {
    let (here, there) = UnixStream::pair().expect("a pair");
    let peer = Peer::start(PARROT.role, placement.core(1), OwnedFd::from(there), None);
    let runtime = runtime();
    let parrot = runtime.block_on(async {
        let connection: Connection = Builder::unix_stream(here).p2p().build().await?;
        ParrotProxy::builder(&connection).cache_properties(CacheProperties::No).build().await
    });
    (peer, Caller { parrot: parrot.expect("the peer shakes hands"), runtime })
}
