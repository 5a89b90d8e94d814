//! All unsafe code of the player: what FFmpeg's safe bindings leave out.
//!
//! They have no way to take a track's parameters from one process to another, to read a plane whose rows lie upside down,
//! to make a frame of either kind, to tell a decoder which samples to leave out, or to ask when a file starts.
#![expect(unsafe_code, reason = "FFmpeg's bindings are not all safe; each block says why it holds")]

use std::ffi::CString;
use std::num::NonZeroU32;
use std::slice;

use ffmpeg::codec::packet::traits::Mut;
use ffmpeg::ffi;
use ffmpeg_next as ffmpeg;

use crate::protocol::{FfmpegParameters, Kind, MAX_CHANNELS, Packet, TimeBase};

/// The time at which the file says that it starts, in microseconds.
pub fn start_time(input: &ffmpeg::format::context::Input) -> Option<i64> {
    // SAFETY: the pointer is only read from, while `input` is borrowed.
    let context = unsafe { input.as_ptr() };
    // SAFETY: an open input has a context, which lives and does not change while `input` is borrowed.
    let context = unsafe { &*context };
    (context.start_time != ffi::AV_NOPTS_VALUE).then_some(context.start_time)
}

/// The codec that FFmpeg calls `name`.
pub fn codec_id(name: &str) -> Option<ffmpeg::codec::Id> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` ends with a zero byte and lives during the call.
    let descriptor = unsafe { ffi::avcodec_descriptor_get_by_name(name.as_ptr()) };
    // SAFETY: descriptors are static tables; the call returns one of them or null.
    let descriptor = unsafe { descriptor.as_ref() }?;
    Some(descriptor.id.into())
}

/// What a decoder must know of a track.
pub fn describe(
    parameters: &ffmpeg::codec::Parameters,
    kind: Kind,
    time_base: TimeBase,
    threads: u8,
) -> FfmpegParameters {
    // SAFETY: the pointer is only read from, while `parameters` is borrowed.
    let found = unsafe { parameters.as_ptr() };
    // SAFETY: parameters of a stream are there as long as their owner, of which `parameters` is one.
    let found = unsafe { &*found };
    let length = usize::try_from(found.extradata_size).unwrap_or(0);
    let header = match found.extradata.is_null() {
        true => &[],
        // SAFETY: FFmpeg keeps `extradata_size` bytes there.
        false => unsafe { slice::from_raw_parts(found.extradata, length) },
    };
    let is_native = found.ch_layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_NATIVE;
    // SAFETY: in a layout of native order the union holds a mask.
    let mask = || unsafe { found.ch_layout.u.mask };
    FfmpegParameters {
        kind,
        codec: parameters.id().name().to_owned(),
        threads,
        time_base,
        tag: found.codec_tag,
        format: found.format,
        bit_rate: found.bit_rate,
        bits: [found.bits_per_coded_sample, found.bits_per_raw_sample],
        profile: [found.profile, found.level],
        size: [found.width, found.height],
        delay: found.video_delay,
        rate: found.sample_rate,
        channels: found.ch_layout.nb_channels,
        positions: if is_native { mask() } else { 0 },
        block: [found.block_align, found.frame_size],
        padding: [found.initial_padding, found.seek_preroll],
        header: header.to_vec(),
    }
}

/// The parameters as FFmpeg takes them; `None` if they are impossible, or there is no memory. They come from another
/// process, which may have been taken over.
pub fn parameters(given: &FfmpegParameters, id: ffmpeg::codec::Id) -> Option<ffmpeg::codec::Parameters> {
    let mut parameters = ffmpeg::codec::Parameters::new();
    let forms = match given.kind {
        Kind::Video => ffi::AVPixelFormat::AV_PIX_FMT_NB as i32,
        _ => ffi::AVSampleFormat::AV_SAMPLE_FMT_NB as i32,
    };
    parameters.set_medium(if given.kind == Kind::Video {
        ffmpeg::media::Type::Video
    } else {
        ffmpeg::media::Type::Audio
    });
    parameters.set_id(id);
    // SAFETY: the pointer is used for writing while `parameters` is borrowed by nobody else.
    let made = unsafe { parameters.as_mut_ptr() };
    // SAFETY: `Parameters::new` allocated it, or it is null for want of memory.
    let made = unsafe { made.as_mut() }?;
    made.codec_tag = given.tag;
    made.format = if (0..forms).contains(&given.format) { given.format } else { -1 };
    made.bit_rate = given.bit_rate.max(0);
    [made.bits_per_coded_sample, made.bits_per_raw_sample] = given.bits;
    [made.profile, made.level] = given.profile;
    [made.width, made.height] = given.size;
    made.video_delay = given.delay.clamp(0, MAX_DELAY);
    made.sample_rate = given.rate;
    [made.block_align, made.frame_size] = given.block;
    [made.initial_padding, made.seek_preroll] = given.padding;
    set_channels(&mut made.ch_layout, given)?;
    set_header(made, &given.header)?;
    Some(parameters)
}

/// The most pictures that a codec keeps back: H.264 and HEVC allow 16.
const MAX_DELAY: i32 = 16;

fn set_channels(layout: &mut ffi::AVChannelLayout, given: &FfmpegParameters) -> Option<()> {
    if !(0..=i32::from(MAX_CHANNELS)).contains(&given.channels) {
        return None;
    }
    if given.positions == 0 {
        // All else in it is zero, as `avcodec_parameters_alloc` left it: channels without positions.
        layout.nb_channels = given.channels;
        return Some(());
    }
    // SAFETY: the layout is a new one, which owns nothing.
    let set = unsafe { ffi::av_channel_layout_from_mask(layout, given.positions) };
    (set >= 0 && layout.nb_channels == given.channels).then_some(())
}

fn set_header(made: &mut ffi::AVCodecParameters, header: &[u8]) -> Option<()> {
    if header.is_empty() {
        return Some(());
    }
    let padded = header.len() + usize::try_from(ffi::AV_INPUT_BUFFER_PADDING_SIZE).ok()?;
    // SAFETY: any size may be asked for.
    let memory = unsafe { ffi::av_mallocz(padded) }.cast::<u8>();
    if memory.is_null() {
        return None;
    }
    // SAFETY: `memory` is new, zeroed, and has room for the header; FFmpeg frees it with the parameters.
    let room = unsafe { slice::from_raw_parts_mut(memory, header.len()) };
    room.copy_from_slice(header);
    made.extradata = memory;
    made.extradata_size = i32::try_from(header.len()).ok()?;
    Some(())
}

/// A packet as FFmpeg takes it; `None` if there is no memory for it.
pub fn packet(given: &Packet) -> Option<ffmpeg::Packet> {
    let mut packet = ffmpeg::Packet::new(given.data.len());
    packet.data_mut()?.copy_from_slice(&given.data);
    // FFmpeg finds out by the order of decoding when pictures are shown.
    if given.is_decode_time {
        packet.set_dts(Some(given.pts))
    } else {
        packet.set_pts(Some(given.pts))
    }
    packet.set_duration(i64::try_from(given.duration).unwrap_or(0));
    if given.trim_start != 0 || given.trim_end != 0 {
        set_trim(&mut packet, given.trim_start, given.trim_end)?;
    }
    Some(packet)
}

/// Bytes of what FFmpeg says about samples to leave out: how many at the start, how many at the end, two reasons.
pub const TRIM_BYTES: usize = 10;

fn set_trim(packet: &mut ffmpeg::Packet, start: u32, end: u32) -> Option<()> {
    let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_SKIP_SAMPLES;
    let packet = packet.as_mut_ptr();
    // SAFETY: the packet is our own; what is added to it is freed with it.
    let memory = unsafe { ffi::av_packet_new_side_data(packet, kind, TRIM_BYTES) };
    if memory.is_null() {
        return None;
    }
    // SAFETY: the call has just allocated so many bytes, which nobody else knows of.
    let room = unsafe { slice::from_raw_parts_mut(memory, TRIM_BYTES) };
    room.fill(0);
    room[..4].copy_from_slice(&start.to_le_bytes());
    room[4..8].copy_from_slice(&end.to_le_bytes());
    Some(())
}

/// A frame into which a decoder can put whatever it decodes.
pub fn empty_frame() -> ffmpeg::Frame {
    // SAFETY: without memory the frame is null, which FFmpeg refuses to fill; nothing reads a frame that was not filled.
    unsafe { ffmpeg::Frame::empty() }
}

/// Row `row` of a plane, of which `length` bytes are wanted; `None` if the picture does not have them.
pub fn row(frame: &ffmpeg::frame::Video, plane: usize, row: usize, length: usize) -> Option<&[u8]> {
    // SAFETY: the pointer is only read from, while `frame` is borrowed.
    let picture = unsafe { frame.as_ptr() };
    // SAFETY: without memory for it the frame is null, else it is there.
    let picture = unsafe { picture.as_ref() }?;
    let (start, stride) = (*picture.data.get(plane)?, isize::try_from(*picture.linesize.get(plane)?).ok()?);
    let is_there = plane < frame.planes() && row < frame.plane_height(plane) as usize;
    if start.is_null() || !is_there || length > stride.unsigned_abs() {
        return None;
    }
    let offset = stride.checked_mul(isize::try_from(row).ok()?)?;
    // SAFETY: FFmpeg allocates each row of a plane; rows that lie upside down have a negative stride.
    let first = unsafe { start.offset(offset) };
    // SAFETY: a row has as many bytes as the stride says, see above; nobody writes them while the frame is borrowed.
    Some(unsafe { slice::from_raw_parts(first, length) })
}

/// A clock as FFmpeg writes it.
pub fn rational(time_base: TimeBase) -> ffmpeg::Rational {
    let narrow = |number: NonZeroU32| i32::try_from(number.get()).unwrap_or(i32::MAX);
    ffmpeg::Rational::new(narrow(time_base.numerator), narrow(time_base.denominator))
}
