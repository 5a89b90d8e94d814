//! What made code calls to turn streams into what a carrier moves, and back.

use super::{Fed, Feed, Flows, Produced, ReadItem, Stream, WriteItem};
use crate::contract::serve::{fail, succeed};
use crate::contract::{Carrier, Method};
use crate::{Failure, RecvError, Text};

/// A stream, to be fed to a call.
pub fn feed<L: Carrier, T: 'static>(mut stream: Stream<T>, write: WriteItem<L, T>) -> Feed<L> {
    let packet = stream.packets;
    Box::new(move |message| match stream.next() {
        Some(Ok(item)) => write(message, &item).map_or_else(Fed::Unsendable, |()| Fed::Item(packet)),
        Some(Err(error)) => Fed::Broken(error.into()),
        None => Fed::End,
    })
}

/// The stream that the caller feeds, as an argument.
pub fn take_fed<L: Carrier, T: 'static>(
    flows: &mut Flows<L>,
    method: &'static Method,
    read: ReadItem<L, T>,
) -> Result<Stream<T>, Failure> {
    let none = || Failure::Undecodable(Text::new("a stream is missing among the arguments"));
    let mut intake = flows.intake.take().ok_or_else(none)?;
    let next = move || {
        let mut item = None;
        let taken = intake(&mut |reader| {
            let (bytes, most) = (reader.remaining(), method.request_max);
            if bytes > most as usize {
                return Err(RecvError::Bound { bytes, most });
            }
            item = Some(read(reader)?);
            Ok(())
        });
        match taken? {
            Ok(()) => item.map(Ok),
            Err(error) => Some(Err(method.failed(error).into())),
        }
    };
    Ok(Stream::new(std::iter::from_fn(next)))
}

/// The stream that a method gives, to be pulled by the runtime.
pub fn give_items<L: Carrier, T: 'static, E: serde::Serialize + 'static>(
    flows: &mut Flows<L>,
    method: &'static Method,
    mut stream: Stream<T, E>,
    write: WriteItem<L, T>,
) {
    let packet = stream.packets;
    flows.output = Some(Box::new(move |message| match stream.is_ready().then(|| stream.next()) {
        None => Produced::NotYet,
        Some(Some(Ok(item))) => match write(message, &item) {
            Ok(()) => Produced::Item(packet),
            Err(error) => Produced::End(Err(error.into())),
        },
        Some(Some(Err(error))) => Produced::End(fail(error, message)),
        Some(None) => Produced::End(succeed(method, message).map_err(Failure::from)),
    }));
}
