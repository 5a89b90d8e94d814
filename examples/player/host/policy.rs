//! Who may talk to whom. Nothing else is reachable.

use cloison_broker::msg::Rights;
use cloison_broker::{Contract, Grant, HOST, Rules};

use super::fault::Fault;
use crate::protocol::{DECODER, DEMUXER, TRACK_READER};
use crate::worker::{AUDIO, DEMUX, VIDEO};

/// The policy of a player that is to provoke `faults`.
///
/// No decoder may ask for anything by itself: what it can call is the reader of one track, to which the host hands it a link.
pub fn policy(faults: &[Fault]) -> Rules {
    let told = |role| faults.iter().any(|fault| fault.role == role && fault.is_told());
    let grant = |contract: &Contract, role| {
        let methods = if told(role) { contract.all() } else { contract.all().minus(contract.only(&["hang"])) };
        Grant { rights: contract.rights_to(methods), back: contract.answer_rights() }
    };
    let reader = Grant { rights: TRACK_READER.rights().delegable(), back: TRACK_READER.answer_rights() };
    let video = grant(&DECODER, VIDEO);
    // Sound fits into messages.
    let sound = Grant { back: Rights::default(), ..grant(&DECODER, AUDIO) };
    Rules::new()
        .allow_grant(HOST, DEMUX, &DEMUXER, grant(&DEMUXER, DEMUX))
        .allow_grant(HOST, DEMUX, &TRACK_READER, reader)
        .allow_grant(HOST, VIDEO, &DECODER, video)
        .allow_grant(HOST, AUDIO, &DECODER, sound)
}
