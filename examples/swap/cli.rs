//! What can be asked on the command line.

use clap::Parser;

/// Lets two workers exchange numbered messages while the model, under which they do, flips again and again.
///
/// The one sends calls and oneways, the other answers the calls and sends a oneway back for each oneway. All of them are
/// numbered. Meanwhile the broker takes their link from the relayed to the direct route and back, as often as asked, and
/// two other workers make round trips over a link that stays relayed.
///
/// Exit codes: 0 if nothing was lost, doubled or reordered, no call failed, and at least nine flips in ten happened while
/// messages lay unread on the old route; 1 otherwise; 2 if the command line makes no sense.
#[derive(Clone, Copy, Debug, Parser)]
#[command(version)]
pub struct Options {
    /// How many messages the two workers send each other in all.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(16..=50_000_000))]
    pub messages: u64,
    /// How often the model flips meanwhile. At most once in sixteen messages.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub flips: u64,
    /// Prints the outcome as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Fewest messages for each flip.
pub const MESSAGES_PER_FLIP: u64 = 16;

impl Options {
    /// Reads the command line; ends the program if there is something wrong with it.
    pub fn read() -> Self {
        let options = Self::parse();
        if options.flips > options.messages / MESSAGES_PER_FLIP {
            let what = format!(
                "{} flips are too many for {} messages: at most one in {MESSAGES_PER_FLIP} messages, so give `--flips {}` or \
                 `--messages {}`",
                options.flips,
                options.messages,
                options.messages / MESSAGES_PER_FLIP,
                options.flips * MESSAGES_PER_FLIP,
            );
            let mut command = <Self as clap::CommandFactory>::command();
            command.error(clap::error::ErrorKind::ValueValidation, what).exit();
        }
        options
    }
}
