//! The workers: each serves an implementation.

use cloison_broker::HOST;
use cloison_worker::{Link, PerLink, Threads, Worker};

use crate::contract::{
    DiaryClient, DictionaryClient, DictionaryServer, LibraryServer, ProofreaderServer, TranslatorServer,
};
use crate::dictionary::Words;
use crate::library::Shelves;
use crate::proofreader::Reader;
use crate::translator::WordByWord;

/// Serves a dictionary of its own to each link that leads here: what one peer teaches, no other hears.
pub fn dictionary(worker: &Worker) -> Result<(), String> {
    worker.serve(PerLink::new(|_: &Link| DictionaryServer::new(Words::new()))).map_err(|error| error.to_string())
}

/// Gives its callers dictionaries.
pub fn library(worker: &Worker) -> Result<(), String> {
    worker.serve(LibraryServer::new(Shelves::new(worker))).map_err(|error| error.to_string())
}

/// Reads three pages at a time, each on a thread of its own.
pub fn proofreader(worker: &Worker) -> Result<(), String> {
    let threads = Threads::new(3, |thread| ProofreaderServer::new(Reader::new(thread)));
    worker.serve_on(threads).map_err(|error| error.to_string())
}

/// Calls another worker, and the host, while it is called itself. Its calls block: it has one thread.
pub fn translator(worker: &Worker) -> Result<(), String> {
    let dictionary = DictionaryClient::bind(worker, "dictionary").map_err(|error| error.to_string())?;
    let diary = DiaryClient::bind(worker, HOST).map_err(|error| error.to_string())?;
    worker.serve(TranslatorServer::new(WordByWord { dictionary, diary })).map_err(|error| error.to_string())
}
