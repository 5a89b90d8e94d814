//! The audio decoder as a worker.

use std::cell::RefCell;
use std::os::fd::OwnedFd;

use cloison_broker::HOST;
use cloison_broker::msg::{Failure, Message};
use cloison_worker::{Link, Request, ServeError, Service, Worker};

use super::{Undelivered, hang, media, out_of_turn, packets};
use crate::protocol::{SINK, Samples, Setup, decoder, sink};
use crate::stage::family::AudioDecoder;

/// The worker's main.
pub fn main(worker: &Worker) -> Result<(), ServeError> {
    worker.serve(Audio::default())
}

/// Serves the demuxer.
#[derive(Default)]
struct Audio(RefCell<Option<OpenTrack>>);

struct OpenTrack {
    round: u32,
    decoder: AudioDecoder,
    sink: Link,
    message: Message<OwnedFd>,
}

impl Service for Audio {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, _: &mut Message<OwnedFd>) -> Result<(), Failure> {
        let mut open = self.0.try_borrow_mut().map_err(|_| out_of_turn("the decoder is at work"))?;
        match (request.rpc(), open.as_mut()) {
            (decoder::HANG, _) => hang(request),
            (decoder::OPEN, before) => {
                let new = OpenTrack::open(worker, request, before.map(|open| open.sink.clone()))?;
                *open = Some(new);
                Ok(())
            }
            (decoder::PACKET, Some(open)) => open.packet(request),
            (decoder::FINISH, Some(open)) => open.finish(request),
            (decoder::PACKET | decoder::FINISH, None) => Err(out_of_turn("nothing is open")),
            _ => Err(Failure::NoSuchMethod),
        }
    }
}

impl OpenTrack {
    fn open(worker: &Worker, request: &mut Request<'_>, sink: Option<Link>) -> Result<Self, Failure> {
        let Setup { round, parameters } = request.recv()?;
        request.finish()?;
        let decoder = AudioDecoder::open(&parameters).map_err(media)?;
        let sink = match sink {
            Some(sink) => sink,
            None => worker.open(HOST, &SINK).map_err(Undelivered::from)?,
        };
        Ok(Self { round, decoder, sink, message: Message::new() })
    }

    fn packet(&mut self, request: &mut Request<'_>) -> Result<(), Failure> {
        let packet = packets::receive(request)?;
        let pieces = self.decoder.decode(packet).map_err(media)?;
        self.deliver(pieces)
    }

    fn deliver(&mut self, pieces: Vec<Samples>) -> Result<(), Failure> {
        for piece in pieces {
            self.message.clear().append(&piece)?;
            self.sink.oneway(sink::SAMPLES, &mut self.message).map_err(Undelivered::from)?;
        }
        Ok(())
    }

    fn finish(&mut self, request: &mut Request<'_>) -> Result<(), Failure> {
        request.finish()?;
        // What is still in the decoder may be damaged; that all is said must be said all the same.
        let rest = self.decoder.finish().unwrap_or_default();
        self.deliver(rest)?;
        self.message.clear().append(&self.round)?;
        Ok(self.sink.oneway(sink::END, &mut self.message).map_err(Undelivered::from)?)
    }
}
