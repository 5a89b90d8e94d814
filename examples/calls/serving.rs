//! A host that is called by its workers: the inbox brings what they ask, and a server, or an object of the host's, answers it.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};

use cloison_broker::msg::Text;
use cloison_broker::{Answer, Broker, Inbox, Item};

use crate::contract::{Diary, DiaryServer, Translator, TranslatorClient};

/// Prints a diary.
pub struct Printed {
    name: &'static str,
    lines: AtomicU32,
}

impl Printed {
    pub const fn new(name: &'static str) -> Self {
        Self { name, lines: AtomicU32::new(0) }
    }
}

impl Diary for Printed {
    fn enter(&self, line: &str) -> Answer<u32> {
        // What a worker says is shown to a terminal with care.
        println!("{}: {}", self.name, Text::new(line));
        Ok(self.lines.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Keeps the diary until the broker ends.
pub fn keep_diary(mut inbox: Inbox) {
    std::thread::spawn(move || {
        let diary = DiaryServer::new(Printed::new("diary"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it asks nothing of the system");
        runtime.block_on(async {
            while let Some(item) = inbox.next().await {
                let Item::Message(message) = item else { continue };
                // What is for no object is for the diary that everybody may write into.
                if let Some(message) = message.serve_object() {
                    message.serve(&diary);
                }
            }
        });
    });
}

/// The host calls the translator, which calls the dictionary and the host.
pub fn run(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let translator = TranslatorClient::bind(broker, "translator")?;
    println!("translated: {}", translator.translate("good morning world")?);
    Ok(())
}
