//! An implementation that gives objects: each caller gets links to states of its own.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use cloison_worker::{Answer, Link, Stream, Worker};

use crate::contract::{Diary, DiaryClient, Dictionary, DictionaryClient, Library, LookUpError};
use crate::dictionary::Words;

/// A library, in a worker.
pub struct Shelves {
    worker: Worker,
    lent: Rc<()>,
}

/// A dictionary that counts as lent while it is there.
struct Volume {
    words: Words,
    _lent: Rc<()>,
}

impl Shelves {
    pub fn new(worker: &Worker) -> Self {
        Self { worker: worker.clone(), lent: Rc::new(()) }
    }
}

impl Library<Link> for Shelves {
    fn dictionary(&self, title: &str) -> Answer<DictionaryClient<Link>> {
        let volume = Volume { words: Words::new(), _lent: Rc::clone(&self.lent) };
        volume.words.learn("title", title)?;
        Ok(DictionaryClient::offer(&self.worker, volume)?)
    }

    fn weigh(&self, dictionary: &DictionaryClient<Link>) -> Answer<u32> {
        dictionary.count()
    }

    fn lent(&self) -> Answer<usize> {
        Ok(Rc::strong_count(&self.lent) - 1)
    }

    fn report(&self, diary: DiaryClient<Link>) -> Answer<u32> {
        diary.enter(&format!("{} lent", self.lent()?))
    }
}

impl Dictionary for Volume {
    fn look_up(&self, word: &str) -> Answer<String, LookUpError> {
        self.words.look_up(word)
    }

    fn learn(&self, word: &str, meaning: &str) -> Answer<()> {
        self.words.learn(word, meaning)
    }

    fn learn_all(&self, book: OwnedFd) -> Answer<u32> {
        self.words.learn_all(book)
    }

    fn count(&self) -> Answer<u32> {
        self.words.count()
    }

    fn words(&self) -> Stream<String> {
        self.words.words()
    }

    fn learn_each(&self, words: Stream<(String, String)>) -> Answer<u32> {
        self.words.learn_each(words)
    }

    fn look_up_all(&self, words: Stream<String>) -> Stream<String, LookUpError> {
        self.words.look_up_all(words)
    }
}
