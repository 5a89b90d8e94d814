//! A host that is called by its workers: the inbox brings what they ask, and a server answers it.

use std::cell::Cell;
use std::error::Error;

use cloison_broker::msg::Text;
use cloison_broker::{Answer, Broker, Inbox, Item};

use crate::contract::{Diary, DiaryServer, Translator, TranslatorClient};

/// Prints the diary.
struct Printed {
    lines: Cell<u32>,
}

impl Diary for Printed {
    fn enter(&self, line: &str) -> Answer<u32> {
        self.lines.set(self.lines.get() + 1);
        // What a worker says is shown to a terminal with care.
        println!("diary: {}", Text::new(line));
        Ok(self.lines.get())
    }
}

/// Keeps the diary until the broker ends.
pub fn keep_diary(mut inbox: Inbox) {
    std::thread::spawn(move || {
        let diary = DiaryServer::new(Printed { lines: Cell::new(0) });
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it asks nothing of the system");
        runtime.block_on(async {
            while let Some(item) = inbox.next().await {
                if let Item::Message(message) = item {
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
