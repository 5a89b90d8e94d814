//! An implementation that is served on several threads: each has one of its own.

use cloison_worker::{Answer, MethodError, Thread, ThreadLink};

use crate::contract::{Dictionary, DictionaryClient, LookUpError, Proofreader};

/// Reads one page at a time; the worker has several of it.
pub struct Reader {
    /// Belongs to the thread that this reads on.
    dictionary: DictionaryClient<ThreadLink>,
}

impl Reader {
    pub fn new(thread: &Thread) -> Self {
        let dictionary = DictionaryClient::bind(thread, "dictionary").expect("nobody proofreads without a dictionary");
        Self { dictionary }
    }
}

impl Proofreader for Reader {
    fn read(&self, page: &str) -> Answer<u32> {
        let mut known = 0;
        for word in page.split_whitespace() {
            match self.dictionary.look_up(word) {
                Ok(_) => known += 1,
                Err(MethodError::Own(LookUpError::Unknown { .. })) => {}
                Err(MethodError::Call(error)) => return Err(error.into()),
            }
        }
        Ok(known)
    }
}
