//! An asynchronous host: the same methods, awaited. Any executor will do; this is tokio.

use std::error::Error;
use std::time::Duration;

use cloison_broker::Broker;

use crate::contract::DictionaryClient;

#[tokio::main]
pub async fn run(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let dictionary = DictionaryClient::bind_async(broker, "dictionary").await?.start();
    println!("morning: {}", dictionary.look_up("morning").await?);

    // Calls are futures like any others.
    let both = tokio::join!(dictionary.look_up("good"), dictionary.look_up("world"));
    println!("good world: {} {}", both.0?, both.1?);
    let soon = tokio::time::timeout(Duration::from_secs(5), dictionary.look_up("good"));
    println!("good: {}", soon.await??);
    Ok(())
}
