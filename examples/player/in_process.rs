//! The stages as plain calls in this process: nothing protects it from what it parses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::input::Input;
use crate::play::{PlayError, Played};
use crate::playback::Playback;
use crate::progress::Progress;
use crate::protocol::{Family, Kind, Nanos, Packet, Stepped};
use crate::sink::{OutputError, Wanted};
use crate::stage::family::{AudioDecoder, DecodedPicture, Demuxer, VideoDecoder};
use crate::stage::video::VideoError;
use crate::usage::this_process;

/// Plays `input` from `seek` on, `repeat` times, until the end or until `stop` is set.
///
/// # Errors
/// If nothing can be played, or an output file cannot be written.
pub fn play(
    input: Input,
    wanted: &Wanted,
    family: Family,
    (seek, repeat): (Option<Nanos>, u32),
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<Played, PlayError> {
    let demuxer = Demuxer::open(family, Arc::new(input.file), input.length)
        .map_err(|error| PlayError::Media(error.to_string()))?;
    let mut playback = Playback::new(demuxer.media().clone(), family, wanted)?;
    let mut pipeline = Pipeline::new(demuxer, &mut playback);
    if let Some(seek) = seek {
        let landing = pipeline.seek(seek)?;
        playback.start_at(landing);
    }
    let mut left = repeat;
    while left > 0 {
        if stop.load(Ordering::Relaxed) {
            playback.ended(Some("stopped"));
            break;
        }
        match pipeline.demuxer.next_packet() {
            Ok(Some(packet)) => pipeline.take(packet, &mut playback)?,
            ended => {
                pipeline.drain(&mut playback)?;
                playback.ended(ended.err().map(|error| error.to_string()).as_deref());
                left -= 1;
                if left > 0 {
                    pipeline.seek(0)?;
                    playback.again();
                }
            }
        }
        progress.show(&playback, || "in process".to_owned());
    }
    let container = playback.container();
    Ok(Played { container, summary: playback.finish()?, workers: vec![this_process("all")], failure: None })
}

/// The demuxer and the decoders, joined by calls.
struct Pipeline {
    demuxer: Demuxer,
    video: Option<(u32, VideoDecoder)>,
    audio: Option<(u32, AudioDecoder)>,
    /// The picture that was decoded last.
    picture: Vec<u8>,
}

impl Pipeline {
    /// Opens the decoders that the playback needs; it is told of those that cannot be opened.
    fn new(mut demuxer: Demuxer, playback: &mut Playback) -> Self {
        let tracks: Vec<_> = playback.selected().cloned().collect();
        let (mut video, mut audio) = (None, None);
        for track in &tracks {
            let Some(parameters) = demuxer.parameters(track.id) else { continue };
            let opened = match parameters.kind() {
                Kind::Audio => AudioDecoder::open(&parameters)
                    .map(|decoder| audio = Some((track.id, decoder)))
                    .map_err(|error| error.to_string()),
                _ => VideoDecoder::open(&parameters)
                    .map(|decoder| video = Some((track.id, decoder)))
                    .map_err(|error| error.to_string()),
            };
            if let Err(why) = opened {
                playback.refuse(track.kind, &why);
            }
        }
        demuxer.select(&playback.selected().map(|track| track.id).collect::<Vec<_>>());
        Self { demuxer, video, audio, picture: Vec::new() }
    }

    fn seek(&mut self, to: Nanos) -> Result<Nanos, PlayError> {
        let landing = self.demuxer.seek(to).map_err(|error| PlayError::Media(error.to_string()))?;
        if let Some((_, video)) = &mut self.video {
            video.flush();
        }
        if let Some((_, audio)) = &mut self.audio {
            audio.flush();
        }
        Ok(landing)
    }

    /// Decodes one packet.
    fn take(&mut self, packet: Packet, playback: &mut Playback) -> Result<(), OutputError> {
        let Packet { track, pts, key, .. } = packet;
        playback.stepped(&Stepped { track, pts, key });
        match self.decode(packet, playback) {
            Ok(()) => {}
            Err(Failure::Decode(why)) => playback.undecodable(track, pts, &why),
            Err(Failure::Output(error)) => return Err(error),
        }
        Ok(())
    }

    /// Decodes what is left in the decoders at the end of the file.
    fn drain(&mut self, playback: &mut Playback) -> Result<(), OutputError> {
        if let Some((_, video)) = &mut self.video {
            let drained = video.finish(|decoded| show(&decoded, &mut self.picture, playback));
            // What is still in the decoder may be damaged, and there is no packet to blame.
            if let Err(Failure::Output(error)) = drained {
                return Err(error);
            }
        }
        let rest = self.audio.as_mut().and_then(|(_, audio)| audio.finish().ok());
        rest.into_iter().flatten().try_for_each(|piece| playback.samples(piece).map(drop))
    }

    fn decode(&mut self, packet: Packet, playback: &mut Playback) -> Result<(), Failure> {
        match (&mut self.video, &mut self.audio) {
            (Some((track, video)), _) if *track == packet.track => {
                video.decode(packet, |decoded| show(&decoded, &mut self.picture, playback))
            }
            (_, Some((track, audio))) if *track == packet.track => {
                let pieces = audio.decode(packet).map_err(|error| Failure::Decode(error.to_string()))?;
                Ok(pieces.into_iter().try_for_each(|piece| playback.samples(piece).map(drop))?)
            }
            _ => Ok(()),
        }
    }
}

fn show(decoded: &DecodedPicture, picture: &mut Vec<u8>, playback: &mut Playback) -> Result<(), Failure> {
    decoded.copy_to(picture);
    playback.picture(&decoded.describe(), &*picture)?;
    Ok(())
}

/// Why a packet did not become pictures or samples in a file.
enum Failure {
    Decode(String),
    Output(OutputError),
}

impl From<VideoError> for Failure {
    fn from(error: VideoError) -> Self {
        Self::Decode(error.to_string())
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}
