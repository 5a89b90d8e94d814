//! A first look into an AV1 temporal unit: can decoding start with it?

/// Whether decoding can start with `unit`: it holds a sequence header, and its first frame is a key frame.
///
/// Anything that is not a well-formed unit is no start.
pub fn is_key(unit: &[u8]) -> bool {
    let mut rest = unit;
    let mut still = None;
    while let Some((kind, payload, after)) = next(rest) {
        match (kind, still) {
            (SEQUENCE_HEADER, _) => still = payload.first().map(|byte| byte & REDUCED_STILL_PICTURE != 0),
            (FRAME_HEADER | FRAME, Some(still)) => {
                return still || payload.first().is_some_and(|byte| is_key_frame(*byte));
            }
            (FRAME_HEADER | FRAME, None) => return false,
            _ => {}
        }
        rest = after;
    }
    false
}

/// `obu_type` (AV1 specification, 6.2.2).
const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;

/// `reduced_still_picture_header`: the fifth bit of a sequence header, after the profile and `still_picture`.
const REDUCED_STILL_PICTURE: u8 = 0b0000_1000;

/// The first three bits of a frame header are `show_existing_frame` and the two of `frame_type`; a key frame is 0.
fn is_key_frame(first: u8) -> bool {
    first >> 5 == 0
}

/// The type and payload of the first OBU in `bytes`, and what follows it.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&header, mut rest) = bytes.split_first()?;
    let [forbidden, extended, sized] = [0x80, 0x04, 0x02].map(|bit| header & bit != 0);
    if forbidden {
        return None;
    }
    if extended {
        rest = rest.get(1..)?;
    }
    let size = if sized { leb128(&mut rest)? } else { rest.len() };
    let (payload, after) = rest.split_at_checked(size)?;
    Some(((header >> 3) & 0xf, payload, after))
}

/// Takes a number of at most eight bytes of seven bits each, the lowest first.
fn leb128(bytes: &mut &[u8]) -> Option<usize> {
    const MAX_BYTES: usize = 8;
    let mut value = 0_u64;
    for index in 0..MAX_BYTES {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporal delimiter, a sequence header, and a frame whose first byte is `first`.
    fn unit(first: u8) -> Vec<u8> {
        vec![0x12, 0x00, 0x0a, 0x02, 0x00, 0x00, 0x32, 0x01, first]
    }

    #[test]
    fn a_sequence_header_and_a_key_frame_make_a_start() {
        assert!(is_key(&unit(0b0001_0000)));
        assert!(!is_key(&unit(0b0011_0000)), "an inter frame");
        assert!(!is_key(&unit(0b1000_0000)), "a frame shown again");
        assert!(!is_key(&[0x32, 0x01, 0x10]), "no sequence header");
    }

    #[test]
    fn a_reduced_still_picture_is_a_start() {
        assert!(is_key(&[0x0a, 0x01, 0x18, 0x32, 0x01, 0xff]));
    }

    #[test]
    fn malformed_units_are_no_start() {
        for unit in [&[][..], &[0x80], &[0x0a], &[0x0a, 0xff], &[0x0a, 0x05, 0x00], &[0x0e], &[0x0a; 3]] {
            assert!(!is_key(unit), "{unit:?}");
        }
        assert!(!is_key(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]));
    }
}
