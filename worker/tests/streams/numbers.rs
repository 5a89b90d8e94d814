//! A server of numbers, and clients of it: of a worker, or of a peer by hand.

use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use cloison_msg::contract::{Client, Stub};
use cloison_msg::{Header, Kind, Route, Streams};
use cloison_worker::{Answer, Link, PerLink, Stream, Worker, interface};
use serde::{Deserialize, Serialize};

use crate::world::World;
use crate::world::raw::Raw;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct TooMany(pub u32);

#[interface]
pub trait Numbers {
    fn up_to(&self, last: u32) -> Stream<u32, TooMany>;
    fn sum(&self, numbers: Stream<u32>) -> Answer<u32, TooMany>;
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
    fn blocks(&self, count: u32, len: u32) -> Stream<Vec<u8>>;
    fn ping(&self) -> Answer<u32>;
    /// Calls back over the link before each number it gives.
    fn asked(&self, numbers: Stream<u32>) -> Answer<u32>;
    #[deadline("30ms")]
    fn never(&self) -> Stream<u32>;
    fn first(&self, numbers: Stream<u32>) -> Answer<Option<u32>>;
}

pub struct Counter {
    pub link: Link,
    pub made: Cell<u32>,
    pub told: Option<Sender<u32>>,
}

/// Tells when what makes a stream is dropped.
struct Telling(Option<Sender<u32>>, u32);

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(told) = &self.0 {
            let _ = told.send(self.1);
        }
    }
}

impl Numbers for Counter {
    fn up_to(&self, last: u32) -> Stream<u32, TooMany> {
        let mut telling = Telling(self.told.clone(), 0);
        let next = move || {
            let telling = &mut telling;
            telling.1 += 1;
            match telling.1 {
                1001 if last > 1000 => Some(Err(TooMany(1000).into())),
                next if next > last => None,
                next => Some(Ok(next)),
            }
        };
        Stream::new(std::iter::from_fn(next))
    }

    fn sum(&self, numbers: Stream<u32>) -> Answer<u32, TooMany> {
        let mut sum = 0;
        for number in numbers {
            match number {
                Ok(number) => sum += number,
                Err(error) => {
                    self.told.iter().for_each(|told| told.send(sum).unwrap());
                    Err(cloison_msg::CallError::from(error))?;
                }
            }
        }
        if sum > 1_000_000 { Err(TooMany(sum).into()) } else { Ok(sum) }
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        Stream::new(numbers.map(|number| Ok(number? * 2)))
    }

    fn blocks(&self, count: u32, len: u32) -> Stream<Vec<u8>> {
        Stream::of((0..count).map(move |at| vec![at.to_le_bytes()[0]; len as usize]))
    }

    fn ping(&self) -> Answer<u32> {
        self.made.set(self.made.get() + 1);
        Ok(self.made.get())
    }

    fn asked(&self, numbers: Stream<u32>) -> Answer<u32> {
        let asker = AskerClient::over(Stub::new(self.link.clone(), 1));
        let mut sum = 0;
        for number in numbers {
            sum += asker.more(number?)?;
        }
        Ok(sum)
    }

    fn never(&self) -> Stream<u32> {
        let begun = std::time::Instant::now();
        Stream::of(std::iter::from_fn(move || {
            std::thread::sleep(Duration::from_millis(200));
            Some(u32::try_from(begun.elapsed().as_millis()).unwrap())
        }))
    }

    fn first(&self, mut numbers: Stream<u32>) -> Answer<Option<u32>> {
        numbers.next().transpose()
    }
}

#[interface]
pub trait Asker {
    fn more(&self, number: u32) -> Answer<u32>;
}

pub struct AddOne;

impl Asker for AddOne {
    fn more(&self, number: u32) -> Answer<u32> {
        Ok(number + 1)
    }
}

/// A world in which `server` serves numbers, and a client of it here. What it tells comes out.
pub fn served(route: Route) -> (World, Worker, NumbersClient<Link>, Receiver<u32>) {
    let mut world = World::new(route);
    let (told, hear) = mpsc::channel();
    world.worker("server", move |worker| {
        worker.serve(PerLink::new(move |link: &Link| {
            NumbersServer::new(Counter { link: link.clone(), made: Cell::new(0), told: Some(told.clone()) })
        }))
    });
    let worker = world.here("client");
    let client = NumbersClient::bind(&worker, "server").unwrap();
    (world, worker, client, hear)
}

/// A world in which `server` is a hand, and a client of it here.
pub fn by_hand(route: Route) -> (World, Raw, Worker, NumbersClient<Link>) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "server");
    let worker = world.here("client");
    let link = worker.open("server", &NUMBERS).unwrap();
    raw.granted();
    let client = NumbersClient::over(Stub::new(link, 8));
    (world, raw, worker, client)
}

pub fn item(call: &Header) -> Header {
    Header { kind: Kind::Item, remaining: 0, streams: Streams::ITEMS, ..*call }
}
