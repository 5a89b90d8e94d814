//! Who may talk to whom. Nothing else is reachable.

use cloison_broker::msg::{DescriptorClasses, Rights};
use cloison_broker::{HOST, Rules};

use super::fault::Fault;
use crate::protocol::{DECODER, DEMUX, SINK};
use crate::worker::{AUDIO, DEMUX as DEMUXER, VIDEO};

/// The policy of a player that is to provoke `faults`.
pub fn policy(faults: &[Fault]) -> Rules {
    let control = Rights::methods(DEMUX.only(&["open", "select", "seek", "step"]));
    let decoding = Rights::methods(DECODER.only(&["open", "packet", "finish"]));
    let pictures = Rights::methods(SINK.only(&["picture", "end"]));
    let sound = Rights::methods(SINK.only(&["samples", "end"]));

    let rules = Rules::new()
        .allow_with(HOST, DEMUXER, &DEMUX, control.passing(DescriptorClasses::READ_ONLY_FILE))
        .allow_with(DEMUXER, VIDEO, &DECODER, decoding.clone().lending())
        .allow_with(DEMUXER, AUDIO, &DECODER, decoding.lending())
        .allow_with(VIDEO, HOST, &SINK, pictures.lending())
        .allow_with(AUDIO, HOST, &SINK, sound);
    faults.iter().fold(rules, |rules, fault| fault.allow(rules))
}
