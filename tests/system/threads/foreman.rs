//! The worker that calls the crew over its own links.

use std::cell::OnceCell;

use cloison_broker::msg::contract::serving;
use cloison_broker::msg::{CallError, CallFailure};
use cloison_broker::{Answer, MethodError, interface};
use cloison_worker::{Link, Stream, Worker};

use super::crew::{Crew, CrewClient, THREADS};
use crate::host::{AMPLE, Random};

/// A worker that calls the crew over its own links.
#[interface]
pub trait Foreman {
    /// Has as many meet as there are threads: how many did.
    fn meet(&self) -> Answer<u32, String>;
    /// Calls, tells and gives up at random. How many calls were given up, if all else was as it is to be.
    fn storm(&self, calls: u32, seed: u64) -> Answer<u32, String>;
    fn tell(&self, from: u32) -> Answer<Vec<u32>, String>;
    fn relay(&self, deep: u32) -> Answer<u32>;
    /// Dies of it, unless it is a retry.
    #[idempotent]
    fn die_first(&self) -> Answer<bool>;
    /// Has numbers doubled, while others are: the sum.
    fn double(&self, many: u32) -> Answer<u64, String>;
    /// Has so many linger, to their end.
    fn linger(&self, many: u32) -> Answer<u32, String>;
}

pub struct Overseer {
    worker: Worker,
    crew: OnceCell<CrewClient<Link>>,
}

impl Overseer {
    pub fn new(worker: &Worker) -> Self {
        Self { worker: worker.clone(), crew: OnceCell::new() }
    }

    fn crew(&self) -> &CrewClient<Link> {
        self.crew.get_or_init(|| CrewClient::bind(&self.worker, "crew").unwrap().within(AMPLE))
    }
}

fn said<T>(answer: Answer<T>) -> Answer<T, String> {
    answer.map_err(|error| wrong(format!("{:?}", CallError::from(error).why)))
}

fn wrong(what: String) -> MethodError<String> {
    MethodError::Own(what)
}

impl Foreman for Overseer {
    fn meet(&self) -> Answer<u32, String> {
        let calls: Vec<_> = (0..THREADS).map(|_| self.crew().start().meet(THREADS)).collect();
        calls.into_iter().try_fold(0, |met, call| Ok(met + u32::from(said(call.wait())?)))
    }

    fn storm(&self, calls: u32, seed: u64) -> Answer<u32, String> {
        let (mut random, mut flying, mut waited) = (Random(seed | 1), Vec::new(), Vec::new());
        let (mut given_up, mut told) = (0, Vec::new());
        for number in 0..calls {
            flying.push((number, self.crew().start().echo(number, random.below(300))));
            if random.below(4) == 0 {
                said(self.crew().note(number))?;
                told.push(number);
            }
            while flying.len() > 20 || (random.below(3) == 0 && !flying.is_empty()) {
                let (number, call) = flying.swap_remove(usize::try_from(random.below(flying.len() as u64)).unwrap());
                if random.below(4) == 0 {
                    drop(call);
                    given_up += 1;
                } else if said(call.wait())? == number {
                    waited.push(number);
                } else {
                    return Err(wrong(format!("another's answer came to {number}")));
                }
            }
        }
        for (number, call) in flying {
            if said(call.wait())? != number {
                return Err(wrong(format!("another's answer came to {number}")));
            }
            waited.push(number);
        }
        let (mut echoed, noted) = (said(self.crew().echoed())?, said(self.crew().noted())?);
        echoed.sort_unstable();
        let served = echoed.len();
        echoed.dedup();
        if echoed.len() != served {
            return Err(wrong(format!("{} were served twice", served - echoed.len())));
        }
        if noted != told || waited.iter().any(|number| echoed.binary_search(number).is_err()) {
            return Err(wrong(format!("{told:?} were told, and heard {noted:?}")));
        }
        Ok(given_up)
    }

    fn tell(&self, from: u32) -> Answer<Vec<u32>, String> {
        (from..from + 50).try_for_each(|number| said(self.crew().note(number)))?;
        said(self.crew().noted())
    }

    fn relay(&self, deep: u32) -> Answer<u32> {
        if deep == 0 { Ok(0) } else { Ok(self.crew().relay(deep - 1)? + 1) }
    }

    fn die_first(&self) -> Answer<bool> {
        if !serving::is_retry() {
            std::process::abort();
        }
        Ok(true)
    }

    fn double(&self, many: u32) -> Answer<u64, String> {
        let mut streams: Vec<_> = (0..6).map(|_| self.crew().doubled(Stream::of(0..many))).collect();
        let mut sum = 0;
        for _ in 0..many {
            let call = self.crew().start().echo(1, 0);
            for stream in &mut streams {
                sum += u64::from(said(stream.next().unwrap())?);
            }
            said(call.wait())?;
        }
        Ok(sum)
    }

    fn linger(&self, many: u32) -> Answer<u32, String> {
        let calls: Vec<_> = (0..many).map(|_| self.crew().start().linger()).collect();
        let dead = |error: MethodError<_>| {
            matches!(CallError::from(error).why, CallFailure::PeerRestarted(_) | CallFailure::Gone(_))
        };
        Ok(calls.into_iter().map(|call| u32::from(call.wait().is_err_and(dead))).sum())
    }
}
