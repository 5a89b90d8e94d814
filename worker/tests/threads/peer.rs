//! Whom the crew calls: calls it back.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use cloison_msg::contract::serving;
use cloison_worker::{Answer, Link, Stream, Worker};

use crate::crew::*;
use crate::world::World;

/// Whom the crew calls: calls it back.
pub struct Echo {
    pub crew: OnceCell<WorkClient<Link>>,
    pub worker: Worker,
    pub shared: Arc<Shared>,
}

impl Echo {
    pub fn crew(&self) -> &WorkClient<Link> {
        self.crew.get_or_init(|| WorkClient::bind(&self.worker, "crew").unwrap().within(SOON))
    }
}

impl Peer for Echo {
    fn relay(&self, deep: u32) -> Answer<u32> {
        if deep == 0 { Ok(100) } else { Ok(self.crew().relay(deep - 1)? + 1) }
    }

    fn plain(&self, number: u32) -> Answer<u32> {
        Ok(number + 1)
    }

    fn note(&self, number: u32) -> Answer<()> {
        self.shared.noted.lock().unwrap().push(number);
        Ok(())
    }

    fn noted(&self) -> Answer<Vec<u32>> {
        Ok(self.shared.noted.lock().unwrap().clone())
    }

    fn mark(&self, number: u32) -> Answer<()> {
        self.shared.noted.lock().unwrap().push(number);
        Ok(())
    }

    fn numbers(&self) -> Stream<u32> {
        Stream::of([1, 2, 3])
    }

    fn linger(&self) -> Answer<bool> {
        self.shared.begun.open(1);
        while !serving::is_cancelled() {
            std::thread::sleep(Duration::from_micros(200));
        }
        self.shared.begun.open(1);
        Ok(true)
    }
}

pub fn peer(world: &mut World) -> Arc<Shared> {
    let shared = Arc::<Shared>::default();
    let its = Arc::clone(&shared);
    world.worker("peer", move |worker| {
        worker.serve(PeerServer::new(Echo { crew: OnceCell::new(), worker: worker.clone(), shared: its }))
    });
    shared
}
