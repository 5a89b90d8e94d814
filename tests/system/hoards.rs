//! How much the host can be fed that it does not take.

use std::process::ExitCode;

use cloison_broker::msg::contract::Stub;
use cloison_broker::msg::{CALLS_IN_FLIGHT, Rights, STREAM_BYTES};
use cloison_broker::{Answer, Ask, Grant, HOST, HOST_FED_BYTES_MAX, Item, Model, Stream, interface};
use cloison_worker::Worker;

use crate::case::{Case, both, module};
use crate::host::{AMPLE, Host};
use crate::watch::SOON;

pub fn cases() -> Vec<Case> {
    module("hoards", vec![both("who_fills_the_host_s_memory_loses_its_own", who_fills_the_host_s_memory_loses_its_own)])
}

/// The host's.
#[interface]
trait Silo {
    /// Adds up how long they are.
    fn store(&self, blocks: Stream<Vec<u8>>) -> Answer<u64>;
    fn all_is_fed(&self) -> Answer<()>;
}

#[interface]
trait Farmer {
    /// Opens so many links to the host and begins so many calls on each, all of them as full as can be: how many are
    /// answered, and why one is not.
    fn fill(&self, links: u32, calls: u32) -> Answer<(u32, String)>;
}

struct Barn;

impl Silo for Barn {
    fn store(&self, mut blocks: Stream<Vec<u8>>) -> Answer<u64> {
        blocks.try_fold(0, |sum, block| Ok(sum + block?.len() as u64))
    }

    fn all_is_fed(&self) -> Answer<()> {
        Ok(())
    }
}

const BLOCK: usize = 60_000;
const BLOCKS: u64 = STREAM_BYTES.div_ceil(BLOCK as u64);

struct Tractor(Worker);

impl Farmer for Tractor {
    fn fill(&self, links: u32, calls: u32) -> Answer<(u32, String)> {
        let block = vec![7; BLOCK];
        let open = |_| self.0.open(HOST, &SILO).unwrap();
        let silos: Vec<_> = (0..links).map(open).map(|link| silo(link).within(AMPLE)).collect();
        let mut begun = Vec::new();
        for silo in silos.iter().cycle().take((links * calls) as usize) {
            let (mut feeder, call) = silo.start().store();
            let _ = (0..BLOCKS).try_for_each(|_| feeder.push(&block));
            feeder.finish();
            begun.push(call);
        }
        silo(self.0.open(HOST, &SILO).unwrap()).all_is_fed()?;
        let (mut stored, mut why) = (0, String::new());
        for call in begun {
            match call.wait() {
                Ok(_) => stored += 1,
                Err(error) => why = error.to_string(),
            }
        }
        Ok((stored, why))
    }
}

fn silo<L>(link: L) -> SiloClient<L>
where
    L: cloison_broker::msg::contract::Carrier,
{
    cloison_broker::msg::contract::Client::over(Stub::new(link, 2))
}

pub fn main() -> ExitCode {
    cloison_worker::run(|worker| worker.serve(FarmerServer::new(Tractor(worker.clone()))))
}

fn who_fills_the_host_s_memory_loses_its_own(model: Model) {
    let policy = |ask: &Ask<'_>| {
        let contract = if ask.interface.as_str() == "silo" { &SILO } else { &FARMER };
        Some(Grant { rights: contract.rights(), back: Rights::default() })
    };
    let mut host = Host::new(model, policy);
    let farmers = ["farmer", "farmer-hog"].map(|role| {
        host.spawn(role);
        FarmerClient::bind(&*host.broker, role).unwrap().within(AMPLE).start()
    });
    let (links, calls) = (7, u32::from(CALLS_IN_FLIGHT));
    let (honest, hog) = (farmers[0].fill(1, 5), farmers[1].fill(links, calls));
    let (mut unread, mut fed) = (Vec::new(), 0);
    while fed < 2 {
        match host.inbox.next_within(SOON).expect("they feed") {
            Item::Message(message) if message.rpc() == SILO.method("all_is_fed") => {
                fed += 1;
                message.serve(&SiloServer::new(Barn));
            }
            Item::Message(message) => unread.push(message),
            _ => {}
        }
    }
    // Now they are read, one after the other.
    unread.into_iter().for_each(|message| message.serve(&SiloServer::new(Barn)));
    assert_eq!(honest.wait(), Ok((5, String::new())));
    let (stored, why) = hog.wait().unwrap();
    let most = HOST_FED_BYTES_MAX as u64 / (BLOCKS * BLOCK as u64);
    assert!(u64::from(stored) <= most && stored < links * calls, "{stored}");
    assert!(why.contains("overloaded"), "{why}");
}
