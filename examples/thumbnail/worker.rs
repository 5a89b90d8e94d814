//! The worker: what it can be asked, and how it answers.

use std::error::Error;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cloison_worker::msg::Text;
use cloison_worker::{Answer, BufferRef, PoolShape, ServeError, Worker, interface};

use crate::protocol::{Family, Kind, Picture, Track};
use crate::stage::codec::is_decodable;
use crate::stage::family::{DecodedPicture, Decoder, Demuxer, Made};

/// Looks into videos.
#[interface]
pub trait Thumbnailer {
    /// A picture out of a file of that many bytes. Its samples are lent. What is said if there is none is fit for a terminal.
    #[deadline("20s")]
    #[descriptors(READ_ONLY_FILE)]
    fn picture(&self, file: OwnedFd, length: u64) -> Answer<(Picture, BufferRef), Text>;
}

struct Stage(Worker);

pub fn main(worker: &Worker) -> Result<(), ServeError> {
    worker.serve(ThumbnailerServer::new(Stage(worker.clone())))
}

impl Thumbnailer for Stage {
    fn picture(&self, file: OwnedFd, length: u64) -> Answer<(Picture, BufferRef), Text> {
        let lent = decode(file.into(), length).and_then(|decoded| {
            let (picture, bytes) = (decoded.describe(), decoded.describe().layout.bytes());
            // Lent to whoever asks, by a pool that ends when its buffer has come back.
            let link = self.0.link_served().ok_or("nobody asks")?;
            let mut buffer = link.pool(PoolShape { buffer_size: u32::try_from(bytes)?, count: 1 })?.acquire()?;
            decoded.copy_to(&mut buffer[..bytes]);
            Ok((picture, buffer.lend(bytes)))
        });
        Ok(lent.map_err(|error| Text::new(&error.to_string()))?)
    }
}

/// Decodes the key picture at a tenth of the file: many begin with a black one.
fn decode(file: File, length: u64) -> Result<DecodedPicture, Box<dyn Error>> {
    let mut demuxer = Demuxer::open(Family::Rust, Arc::new(file), length)?;
    let media = demuxer.media();
    let is_good = |track: &&Track| track.kind == Kind::Video && is_decodable(Family::Rust, Kind::Video, &track.codec);
    let track = media.tracks.iter().find(is_good).ok_or("no video that can be decoded is in it")?.id;
    let (to, parameters) = (media.duration.unwrap_or(0) / 10, demuxer.parameters(track).ok_or("there is no track")?);
    let mut decoder = Decoder::open(None, &parameters)?;
    demuxer.select(&[track]);
    demuxer.seek(to)?;
    loop {
        let packet = demuxer.next_packet()?.ok_or("no picture is in it")?;
        let mut first = None;
        decoder.decode(packet, |made| match made {
            Made::Picture(picture) if first.is_none() => first = Some(picture),
            _ => {}
        })?;
        if let Some(picture) = first {
            return Ok(picture);
        }
    }
}
