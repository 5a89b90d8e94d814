//! An implementation: it knows nothing of links and processes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use cloison_worker::{Answer, MethodError, Stream};

use crate::contract::{Dictionary, LookUpError};

/// A dictionary in memory.
pub struct Words {
    /// What a stream looks up in outlives the call that gave it.
    words: Rc<RefCell<BTreeMap<String, String>>>,
}

impl Words {
    pub fn new() -> Self {
        let known = [("good", "bon"), ("morning", "matin"), ("world", "monde")];
        let words = known.map(|(word, meaning)| (word.to_owned(), meaning.to_owned()));
        Self { words: Rc::new(RefCell::new(words.into())) }
    }
}

impl Dictionary for Words {
    fn look_up(&self, word: &str) -> Answer<String, LookUpError> {
        let meaning = self.words.borrow().get(word).cloned();
        Ok(meaning.ok_or_else(|| LookUpError::Unknown { word: word.to_owned() })?)
    }

    fn learn(&self, word: &str, meaning: &str) -> Answer<()> {
        self.words.borrow_mut().insert(word.to_owned(), meaning.to_owned());
        Ok(())
    }

    fn learn_all(&self, book: OwnedFd) -> Answer<u32> {
        let mut learnt = 0;
        for line in BufReader::new(std::fs::File::from(book)).lines().map_while(Result::ok) {
            if let Some((word, meaning)) = line.split_once(": ") {
                self.learn(word, meaning)?;
                learnt += 1;
            }
        }
        Ok(learnt)
    }

    fn count(&self) -> Answer<u32> {
        Ok(u32::try_from(self.words.borrow().len()).unwrap_or(u32::MAX))
    }

    fn words(&self) -> Stream<String> {
        let words: Vec<String> = self.words.borrow().keys().cloned().collect();
        Stream::of(words)
    }

    fn learn_each(&self, words: Stream<(String, String)>) -> Answer<u32> {
        let mut learnt = 0;
        for word in words {
            let (word, meaning) = word?;
            self.learn(&word, &meaning)?;
            learnt += 1;
        }
        Ok(learnt)
    }

    fn look_up_all(&self, words: Stream<String>) -> Stream<String, LookUpError> {
        let known = Rc::clone(&self.words);
        // Nothing happens until somebody wants the next one.
        Stream::new(words.map(move |word| {
            let word = word.map_err(|error| MethodError::Call(error.into()))?;
            let meaning = known.borrow().get(&word).cloned();
            Ok(meaning.ok_or(LookUpError::Unknown { word })?)
        }))
    }
}
