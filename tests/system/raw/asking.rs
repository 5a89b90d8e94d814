//! What an attacker asks of the broker, and what it is told.

use cloison_broker::msg::control::{PoolShape, ToBroker, ToWorker};
use cloison_broker::msg::{Kind, Name, decode_whole};
use cloison_ipc::Passed;

use super::{Heard, Raw, Via, word_packet};

impl Raw {
    pub fn say(&self, word: &ToBroker) {
        let _ = self.send(Via::Control, &word_packet(word), &[]);
    }

    pub fn open(&mut self, role: &str, interface: &str) -> Result<usize, String> {
        let name = |name: &str| Name::new(name).map_err(|error| error.to_string());
        self.say(&ToBroker::Open { request: 1, role: name(role)?, interface: name(interface)? });
        let opened = self.await_word(|word| match word {
            ToWorker::Opened { link, .. } => Some(link),
            _ => None,
        });
        let link = opened.ok_or("the broker has ended")?.map_err(|refusal| format!("{refusal:?}"))?;
        self.links.iter().rposition(|held| held.shown.name == link).ok_or_else(|| "no such link".to_owned())
    }

    pub fn make_pool(&mut self, link: usize, shape: PoolShape) -> Result<u32, String> {
        self.say(&ToBroker::MakePool { request: 2, link: self.links[link].shown.name, shape });
        let made = self.await_word(|word| match word {
            ToWorker::Pool { pool, .. } => Some(pool),
            _ => None,
        });
        made.ok_or("the broker has ended")?.map_err(|refusal| format!("{refusal:?}"))
    }

    /// Waits for a word; what else comes meanwhile waits in the queue.
    fn await_word<T>(&mut self, pick: impl Fn(ToWorker) -> Option<T>) -> Option<T> {
        let mut others = std::mem::take(&mut self.queue);
        loop {
            let heard = self.next()?;
            if heard.header.kind != Kind::Control {
                others.push_back(heard);
                continue;
            }
            let picked = decode_whole(&heard.payload).ok().and_then(&pick);
            self.hear_word(heard);
            if picked.is_some() {
                others.append(&mut self.queue);
                self.queue = others;
                return picked;
            }
        }
    }

    pub fn hear_word(&mut self, heard: Heard) {
        let Ok(word) = decode_whole::<ToWorker>(&heard.payload) else { return };
        self.words.push(format!("{word:?}"));
        let passed = heard.passed.into_iter().next();
        match word {
            ToWorker::Pool { pool: Ok(_), .. } => self.pools.extend(passed.map(Passed::into_fd)),
            word => self.hear_of_links(word, passed),
        }
    }
}
