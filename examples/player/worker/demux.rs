//! The demuxer as a worker.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cloison_broker::msg::{Failure, Message};
use cloison_worker::{Request, ServeError, Service, Worker};

use super::decoders::Decoder;
use super::{hang, media, out_of_turn};
use crate::protocol::{Family, Refused, SeekTo, Selection, Setup, Step, StepReply, Stepped, Trouble, demux};
use crate::stage::family::Demuxer;

/// The worker's main.
pub fn main(worker: &Worker) -> Result<(), ServeError> {
    worker.serve(Demux::default())
}

/// Serves the host.
#[derive(Default)]
struct Demux(RefCell<Option<OpenFile>>);

/// An open file, and where its packets go.
struct OpenFile {
    demuxer: Demuxer,
    decoders: Vec<Decoder>,
    /// Whether the decoders have said their last word of this round.
    is_finished: bool,
}

impl Service for Demux {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        // Only the host calls, and it does so in chains of its own: nobody comes back here while this is borrowed.
        let mut open = self.0.try_borrow_mut().map_err(|_| out_of_turn("the demuxer is at work"))?;
        if request.rpc() == demux::HANG {
            return hang(request);
        }
        if request.rpc() == demux::OPEN {
            let new = OpenFile::open(request)?;
            reply.append(new.demuxer.media())?;
            *open = Some(new);
            return Ok(());
        }
        let open = open.as_mut().ok_or_else(|| out_of_turn("no file is open"))?;
        match request.rpc() {
            demux::SELECT => reply.append(&open.select(worker, request)?)?,
            demux::SEEK => reply.append(&open.seek(request)?)?,
            demux::STEP => reply.append(&open.step(request)?)?,
            _ => return Err(Failure::NoSuchMethod),
        };
        Ok(())
    }
}

impl OpenFile {
    fn open(request: &mut Request<'_>) -> Result<Self, Failure> {
        let (length, family): (u64, Family) = request.recv()?;
        let file = File::from(request.descriptor()?.into_fd());
        request.finish()?;
        let demuxer = Demuxer::open(family, Arc::new(file), length).map_err(media)?;
        Ok(Self { demuxer, decoders: Vec::new(), is_finished: false })
    }

    /// Opens the decoders of these tracks, over the links that there are or over new ones; which could not be opened.
    fn select(&mut self, worker: &Worker, request: &mut Request<'_>) -> Result<Vec<Refused>, Failure> {
        let Selection { round, tracks } = request.recv()?;
        request.finish()?;
        self.is_finished = false;
        let mut before = std::mem::take(&mut self.decoders);
        let mut refused = Vec::new();
        for track in tracks {
            let Some(parameters) = self.demuxer.parameters(track) else { continue };
            let setup = Setup { round, parameters };
            let known = before.iter().position(|decoder| decoder.track() == track && decoder.is_there());
            let opened = match known {
                Some(at) => before.swap_remove(at).reopen(&setup),
                None => Decoder::open(worker, track, &setup),
            };
            match opened {
                Ok(decoder) => self.decoders.push(decoder),
                Err(mishap) => refused.push(Refused { track, mishap }),
            }
        }
        before.into_iter().for_each(Decoder::close);
        self.demuxer.select(&self.decoders.iter().map(Decoder::track).collect::<Vec<_>>());
        Ok(refused)
    }

    fn seek(&mut self, request: &mut Request<'_>) -> Result<i64, Failure> {
        let to = request.recv()?;
        request.finish()?;
        for decoder in &mut self.decoders {
            decoder.forget();
        }
        match to {
            SeekTo::KeyBefore(time) => self.demuxer.seek(time),
            SeekTo::KeyAfter(time) => self.demuxer.seek_beyond(time),
        }
        .map_err(media)
    }

    /// Reads one packet and hands it on.
    fn step(&mut self, request: &mut Request<'_>) -> Result<StepReply, Failure> {
        request.finish()?;
        let mut troubles = Vec::new();
        let step = match self.demuxer.next_packet() {
            Ok(Some(packet)) => {
                if let Some(decoder) = self.decoders.iter_mut().find(|decoder| decoder.track() == packet.track) {
                    decoder.take(&packet, &mut troubles);
                }
                Step::Packet(Stepped { track: packet.track, pts: packet.pts, key: packet.key })
            }
            Ok(None) => self.end(None, &mut troubles),
            Err(error) => self.end(Some(error.to_string()), &mut troubles),
        };
        Ok(StepReply { step, troubles })
    }

    fn end(&mut self, complaint: Option<String>, troubles: &mut Vec<Trouble>) -> Step {
        // The host asks for several steps in advance, so it can ask for more than there are.
        if !std::mem::replace(&mut self.is_finished, true) {
            for decoder in &mut self.decoders {
                decoder.finish(troubles);
            }
        }
        Step::End(complaint)
    }
}
