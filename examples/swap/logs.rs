//! What the workers told the host of their work, and what can be read from it.

use cloison_broker::Incoming;
use cloison_broker::msg::{RecvError, Route};

use crate::protocol::{LEFT, RECEIVED, SENT, TRIPS};

/// What the workers told so far. Times are nanoseconds on the monotonic clock.
#[derive(Default)]
pub struct Logs {
    /// When the left one's messages were sent, and when the right one served them, in order.
    sent: Times,
    received: Times,
    /// Round trips of the left one's calls, and of the bystanders': when they began, and how long they took.
    trips: Vec<(u64, u64)>,
    idle_trips: Vec<(u64, u64)>,
}

#[derive(Default)]
struct Times {
    all: Vec<u64>,
    last: u64,
}

impl Times {
    fn extend(&mut self, steps: &[u64]) {
        for step in steps {
            self.last += step;
            self.all.push(self.last);
        }
    }

    fn before(&self, moment: u64) -> usize {
        self.all.partition_point(|&time| time < moment)
    }
}

/// One change of the model.
#[derive(Clone, Copy)]
pub struct Flip {
    /// When it was begun, and when it was complete.
    pub began: u64,
    /// See `began`.
    pub ended: u64,
    /// The route from then on.
    pub to: Route,
}

impl Logs {
    /// Takes in what a worker says of its work.
    pub fn take(&mut self, message: &Incoming) -> Result<(), RecvError> {
        match message.rpc() {
            SENT => self.sent.extend(&message.value::<Vec<u64>>()?),
            RECEIVED => self.received.extend(&message.value::<Vec<u64>>()?),
            TRIPS if message.peer().as_str() == LEFT => self.trips.extend(message.value::<Vec<(u64, u64)>>()?),
            TRIPS => self.idle_trips.extend(message.value::<Vec<(u64, u64)>>()?),
            _ => {}
        }
        Ok(())
    }

    /// How many messages the left one has sent.
    pub fn sent(&self) -> u64 {
        self.sent.all.len() as u64
    }

    /// How many messages were sent and served.
    pub fn count(&self) -> u64 {
        (self.sent.all.len() + self.received.all.len()) as u64
    }

    /// Whether all that was sent was told to be served, too.
    pub fn is_complete(&self) -> bool {
        self.sent.all.len() <= self.received.all.len()
    }

    /// How many messages had been sent and not served when a flip began: they went by the old route.
    pub fn unread_at(&self, flip: &Flip) -> usize {
        self.sent.before(flip.began).saturating_sub(self.received.before(flip.began))
    }

    /// The longest time between two messages that were served, in nanoseconds.
    pub fn longest_gap(&self) -> u64 {
        self.received.all.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    /// From the first message sent to the last one served, in nanoseconds.
    pub fn lasted(&self) -> u64 {
        let (first, last) = (self.sent.all.first(), self.received.all.last());
        first.zip(last).map_or(0, |(first, last)| last - first)
    }

    /// How long round trips took that lie between two moments.
    pub fn trips(&self, from: u64, to: u64) -> Vec<u64> {
        within(&self.trips, from, to)
    }

    /// The same, of the bystanders.
    pub fn idle_trips(&self, from: u64, to: u64) -> Vec<u64> {
        within(&self.idle_trips, from, to)
    }
}

fn within(trips: &[(u64, u64)], from: u64, to: u64) -> Vec<u64> {
    let first = trips.partition_point(|&(since, _)| since < from);
    let inside = trips[first..].iter().take_while(|&&(since, _)| since < to);
    inside.filter(|&&(since, took)| since + took <= to).map(|&(_, took)| took).collect()
}
