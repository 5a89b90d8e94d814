//! What the demuxer does not tell of an MP4 file: each track's sample entry, and where its edit list starts to play.

use std::ops::Range;

use super::source::Source;
use crate::protocol::MAX_TRACKS;

/// What the `moov` box says of one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extra {
    /// The track's number.
    pub id: u32,
    /// Four characters that name its codec.
    pub entry: [u8; 4],
    /// Four characters that name its kind: `vide`, `soun`, …
    pub handler: [u8; 4],
    /// The tick of its clock at which playing starts; what comes before is only there for the decoder.
    pub start: u64,
}

/// Reads what `source` says of its tracks; nothing if it is no MP4 file or is damaged.
pub fn extras(source: &Source) -> Vec<Extra> {
    let Some(moov) = children(source, 0..source.length()).find(|child| &child.kind == b"moov") else {
        return Vec::new();
    };
    children(source, moov.payload)
        .filter(|child| &child.kind == b"trak")
        .take(MAX_TRACKS)
        .filter_map(|trak| extra(source, trak.payload))
        .collect()
}

/// The most boxes looked at inside one box: a hostile file may hold one every eight bytes.
const MAX_BOXES: usize = 4096;

/// One box of the file.
struct Child {
    kind: [u8; 4],
    payload: Range<u64>,
}

/// The boxes in `range`, up to the first that is malformed.
fn children(source: &Source, range: Range<u64>) -> impl Iterator<Item = Child> + '_ {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let child = child_at(source, at, range.end)?;
        at = child.payload.end;
        Some(child)
    })
    .take(MAX_BOXES)
}

fn child_at(source: &Source, at: u64, end: u64) -> Option<Child> {
    const HEADER: u64 = 8;
    const LARGE_HEADER: u64 = 16;
    if end.checked_sub(at)? < HEADER {
        return None;
    }
    let size = u64::from(u32::from_be_bytes(bytes(source, at)?));
    let (header, size) = match size {
        0 => (HEADER, end - at),
        1 => (LARGE_HEADER, u64::from_be_bytes(bytes(source, at + HEADER)?)),
        size => (HEADER, size),
    };
    let payload = at.checked_add(header)?..at.checked_add(size)?;
    (payload.start <= payload.end && payload.end <= end).then_some(Child { kind: bytes(source, at + 4)?, payload })
}

/// The first box that `path` leads to from `range`.
fn find(source: &Source, range: Range<u64>, path: &[&[u8; 4]]) -> Option<Range<u64>> {
    path.iter().try_fold(range, |range, kind| {
        children(source, range).find(|child| &child.kind == *kind).map(|child| child.payload)
    })
}

fn extra(source: &Source, trak: Range<u64>) -> Option<Extra> {
    let header = find(source, trak.clone(), &[b"tkhd"])?;
    // After version and flags come two times, of four or eight bytes each.
    let id_at = header.start + if is_long(source, header.start)? { 20 } else { 12 };
    let handler = find(source, trak.clone(), &[b"mdia", b"hdlr"])?;
    let entries = find(source, trak.clone(), &[b"mdia", b"minf", b"stbl", b"stsd"])?;
    Some(Extra {
        id: u32::from_be_bytes(bytes(source, id_at)?),
        // After version, flags, the number of entries, and the first one's size.
        entry: bytes(source, entries.start + 12)?,
        // After version, flags and a reserved word.
        handler: bytes(source, handler.start + 8)?,
        start: start(source, trak).unwrap_or(0),
    })
}

/// The media time of the first entry of the edit list that plays anything.
fn start(source: &Source, trak: Range<u64>) -> Option<u64> {
    const MAX_ENTRIES: u64 = 16;
    let list = find(source, trak, &[b"edts", b"elst"])?;
    let long = is_long(source, list.start)?;
    let count = u64::from(u32::from_be_bytes(bytes(source, list.start + 4)?)).min(MAX_ENTRIES);
    let entry_bytes = if long { 20 } else { 12 };
    (0..count).map(|index| list.start + 8 + index * entry_bytes).find_map(|at| {
        let media_time = if long {
            i64::from_be_bytes(bytes(source, at + 8)?)
        } else {
            i64::from(i32::from_be_bytes(bytes(source, at + 4)?))
        };
        // An empty edit has the time -1.
        u64::try_from(media_time).ok()
    })
}

/// Whether the box whose payload starts at `at` is of version 1, with times of eight bytes.
fn is_long(source: &Source, at: u64) -> Option<bool> {
    bytes(source, at).map(|[version]| version == 1)
}

fn bytes<const N: usize>(source: &Source, at: u64) -> Option<[u8; N]> {
    let mut buffer = [0; N];
    source.read_exact_at(&mut buffer, at).ok().map(|()| buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len() + 8).expect("small");
        [&size.to_be_bytes()[..], kind, payload].concat()
    }

    fn file(edits: &[(u32, i32)]) -> Vec<u8> {
        let edits: Vec<u8> = edits
            .iter()
            .flat_map(|(duration, time)| [duration.to_be_bytes(), time.to_be_bytes(), [0, 1, 0, 0]].concat())
            .collect();
        let elst = boxed(b"elst", &[&[0; 7][..], &[u8::try_from(edits.len() / 12).expect("small")], &edits].concat());
        let tkhd = boxed(b"tkhd", &[&[0; 12][..], &7_u32.to_be_bytes(), &[0; 8]].concat());
        let hdlr = boxed(b"hdlr", &[&[0; 8][..], b"vide"].concat());
        let stsd = boxed(b"stsd", &[&[0; 7][..], &[1], &boxed(b"av01", &[])].concat());
        let minf = boxed(b"minf", &boxed(b"stbl", &stsd));
        let mdia = boxed(b"mdia", &[hdlr, minf].concat());
        let trak = boxed(b"trak", &[tkhd, boxed(b"edts", &elst), mdia].concat());
        [boxed(b"ftyp", b"isom"), boxed(b"moov", &trak)].concat()
    }

    fn read(bytes: Vec<u8>) -> Vec<Extra> {
        let length = bytes.len() as u64;
        extras(&Source::new(Arc::new(bytes), length))
    }

    #[test]
    fn tracks_are_found() {
        let track = |start| vec![Extra { id: 7, entry: *b"av01", handler: *b"vide", start }];
        assert_eq!(read(file(&[])), track(0));
        assert_eq!(read(file(&[(100, 1024)])), track(1024));
        assert_eq!(read(file(&[(50, -1), (100, 512)])), track(512));
    }

    #[test]
    fn damaged_files_are_read_without_harm() {
        let whole = file(&[(100, 1024)]);
        for length in 0..whole.len() {
            read(whole[..length].to_vec());
        }
        for index in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[index] = value;
                read(bytes);
            }
        }
    }

    #[test]
    fn a_box_of_size_zero_inside_itself_ends() {
        assert_eq!(read([0, 0, 0, 8, 0, 0, 0, 0].repeat(10_000)), []);
        assert_eq!(read(vec![0; 64]), []);
    }
}
