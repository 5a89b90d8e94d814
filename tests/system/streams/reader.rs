//! The worker that reads what a source gives.

use std::cell::{Cell, RefCell};

use cloison_broker::{Answer, MethodError, Stream, interface};
use cloison_worker::{Link, Worker};

use super::source::{Enough, Source, SourceClient};

#[interface]
pub trait Reader {
    /// Reads what the source gives up to that, and counts it.
    fn read(&self, source: &str, last: u32) -> Answer<u32>;
    /// Passes it on.
    fn pass(&self, source: &str, last: u32) -> Stream<u32>;
    /// Has the source double, and add up.
    fn sum_of_doubled(&self, source: &str, last: u32) -> Answer<u64>;
    /// Keeps a stream of which it reads one item.
    fn keep(&self, source: &str) -> Answer<u32>;
    /// Why the source's stream ended, and behind how many items.
    fn to_the_end(&self, source: &str) -> Answer<(u32, String)>;
}

pub struct Through {
    worker: Worker,
    sources: RefCell<Vec<(String, SourceClient<Link>)>>,
    kept: Cell<Option<Stream<u32, Enough>>>,
}

impl Through {
    pub fn new(worker: &Worker) -> Self {
        Self { worker: worker.clone(), sources: RefCell::default(), kept: Cell::new(None) }
    }

    fn source(&self, role: &str) -> SourceClient<Link> {
        let mut sources = self.sources.borrow_mut();
        sources.retain(|(_, source)| source.link().gone().is_none());
        if let Some((_, source)) = sources.iter().find(|(known, _)| known == role) {
            return source.clone();
        }
        let source = SourceClient::bind(&self.worker, role).unwrap();
        sources.push((role.to_owned(), source.clone()));
        source
    }
}

fn plain(numbers: Stream<u32, Enough>) -> Stream<u32> {
    Stream::new(numbers.map(|number| number.map_err(|error| MethodError::Call(error.call().unwrap().clone()))))
}

impl Reader for Through {
    fn read(&self, source: &str, last: u32) -> Answer<u32> {
        let mut next = 0;
        for number in plain(self.source(source).up_to(last)) {
            next += 1;
            assert_eq!(number?, next);
        }
        Ok(next)
    }

    fn pass(&self, source: &str, last: u32) -> Stream<u32> {
        plain(self.source(source).up_to(last))
    }

    fn sum_of_doubled(&self, source: &str, last: u32) -> Answer<u64> {
        self.source(source).doubled(Stream::of(1..=last)).try_fold(0, |sum, number| Ok(sum + u64::from(number?)))
    }

    fn keep(&self, source: &str) -> Answer<u32> {
        let mut numbers = self.source(source).up_to(5000);
        let first = plain(Stream::new(numbers.next())).next().unwrap();
        self.kept.set(Some(numbers));
        first
    }

    fn to_the_end(&self, source: &str) -> Answer<(u32, String)> {
        let mut numbers = self.source(source).until_death(100);
        let read = numbers.by_ref().zip(1..).take_while(|(item, next)| item.as_ref() == Ok(next)).count();
        // The one that failed was taken, too.
        assert!(numbers.next().is_none());
        let why = self.source(source).alive().err().map_or_else(String::new, |error| format!("{error:?}"));
        Ok((u32::try_from(read).unwrap(), why))
    }
}
