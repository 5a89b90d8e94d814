//! Who may talk to whom. Nothing else is reachable.

use cloison_broker::msg::{DescriptorClasses, Rights};
use cloison_broker::{HOST, Rules};

use super::fault::Fault;
use crate::protocol::{DECODER, DEMUX, SINK};
use crate::worker::{AUDIO, DEMUX as DEMUXER, VIDEO};

/// The policy of a player that is to provoke `faults`.
pub fn policy(faults: &[Fault]) -> Rules {
    let told = |role| faults.iter().any(|fault| fault.role == role && fault.is_told());
    let steps: &[&str] = &["open", "select", "seek", "step"];
    let control = Rights::methods(if told(DEMUXER) { DEMUX.all() } else { DEMUX.only(steps) });
    let decoding = Rights::methods(DECODER.only(&["open", "packet", "finish"]));
    let pictures = Rights::methods(SINK.only(&["picture", "end"]));
    let sound = Rights::methods(SINK.only(&["samples", "end"]));

    let rules = Rules::new()
        .allow_with(HOST, DEMUXER, &DEMUX, control.passing(DescriptorClasses::READ_ONLY_FILE))
        .allow_with(DEMUXER, VIDEO, &DECODER, decoding.clone().lending())
        .allow_with(DEMUXER, AUDIO, &DECODER, decoding.lending())
        .allow_with(VIDEO, HOST, &SINK, pictures.lending())
        .allow_with(AUDIO, HOST, &SINK, sound);
    let hanging = Rights::methods(DECODER.only(&["hang"]));
    let told = [AUDIO, VIDEO].into_iter().filter(|role| told(role));
    told.fold(rules, |rules, role| rules.allow_with(HOST, role, &DECODER, hanging.clone()))
}
