//! The names of codecs: what containers call them, what decoders call them, what people call them.

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecId, CODEC_ID_NULL_AUDIO, well_known as audio};
use symphonia::core::codecs::video::{VideoCodecId, well_known as video};

use crate::protocol::{Family, Kind};

/// The short name of the one video codec that has a decoder here.
pub const AV1: &str = "av1";

/// A codec's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Short, as decoders know it; empty if nobody here knows the codec.
    pub short: &'static str,
    /// For people.
    pub label: String,
}

/// Names the codec that a container's parameters speak of.
pub fn name(parameters: &CodecParameters) -> Name {
    let found = match parameters {
        CodecParameters::Audio(audio) => AUDIO.iter().find(|row| row.0 == audio.codec).map(|row| (row.1, row.2)),
        CodecParameters::Video(video) => VIDEO.iter().find(|row| row.0 == video.codec).map(|row| (row.1, row.2)),
        _ => None,
    };
    found.map_or_else(Name::default, |(short, label)| Name { short, label: label.to_owned() })
}

/// Names the codec of an MP4 sample entry; `None` if nobody here knows the four characters.
pub fn name_of_entry(entry: [u8; 4]) -> Option<Name> {
    let (_, short, label) = ENTRIES.iter().find(|row| row.0 == &entry)?;
    Some(Name { short, label: format!("{label} ({})", entry.escape_ascii()) })
}

/// The demuxer's number for the audio codec called `short`.
pub fn audio_codec(short: &str) -> AudioCodecId {
    AUDIO.iter().find(|row| row.1 == short).map_or(CODEC_ID_NULL_AUDIO, |row| row.0)
}

/// Whether a decoder of this family decodes the codec called `short`. FFmpeg's demuxer names no others.
pub fn is_decodable(family: Family, kind: Kind, short: &str) -> bool {
    match kind {
        Kind::Video | Kind::Audio if family != Family::Rust => !short.is_empty(),
        Kind::Video => short == AV1,
        Kind::Audio => symphonia::default::get_codecs().get_audio_decoder(audio_codec(short)).is_some(),
        Kind::Subtitle | Kind::Other => false,
    }
}

const AUDIO: &[(AudioCodecId, &str, &str)] = &[
    (audio::CODEC_ID_PCM_S8, "pcm_s8", "PCM"),
    (audio::CODEC_ID_PCM_U8, "pcm_u8", "PCM"),
    (audio::CODEC_ID_PCM_S16LE, "pcm_s16le", "PCM"),
    (audio::CODEC_ID_PCM_S16BE, "pcm_s16be", "PCM"),
    (audio::CODEC_ID_PCM_U16LE, "pcm_u16le", "PCM"),
    (audio::CODEC_ID_PCM_U16BE, "pcm_u16be", "PCM"),
    (audio::CODEC_ID_PCM_S24LE, "pcm_s24le", "PCM"),
    (audio::CODEC_ID_PCM_S24BE, "pcm_s24be", "PCM"),
    (audio::CODEC_ID_PCM_U24LE, "pcm_u24le", "PCM"),
    (audio::CODEC_ID_PCM_U24BE, "pcm_u24be", "PCM"),
    (audio::CODEC_ID_PCM_S32LE, "pcm_s32le", "PCM"),
    (audio::CODEC_ID_PCM_S32BE, "pcm_s32be", "PCM"),
    (audio::CODEC_ID_PCM_U32LE, "pcm_u32le", "PCM"),
    (audio::CODEC_ID_PCM_U32BE, "pcm_u32be", "PCM"),
    (audio::CODEC_ID_PCM_F32LE, "pcm_f32le", "PCM"),
    (audio::CODEC_ID_PCM_F32BE, "pcm_f32be", "PCM"),
    (audio::CODEC_ID_PCM_F64LE, "pcm_f64le", "PCM"),
    (audio::CODEC_ID_PCM_F64BE, "pcm_f64be", "PCM"),
    (audio::CODEC_ID_PCM_ALAW, "pcm_alaw", "A-law"),
    (audio::CODEC_ID_PCM_MULAW, "pcm_mulaw", "µ-law"),
    (audio::CODEC_ID_FLAC, "flac", "FLAC"),
    (audio::CODEC_ID_ALAC, "alac", "ALAC"),
    (audio::CODEC_ID_AAC, "aac", "AAC"),
    (audio::CODEC_ID_MP3, "mp3", "MP3"),
    (audio::CODEC_ID_VORBIS, "vorbis", "Vorbis"),
    (audio::CODEC_ID_MP1, "mp1", "MPEG audio layer I"),
    (audio::CODEC_ID_MP2, "mp2", "MPEG audio layer II"),
    (audio::CODEC_ID_OPUS, "opus", "Opus"),
    (audio::CODEC_ID_SPEEX, "speex", "Speex"),
    (audio::CODEC_ID_AC3, "ac3", "AC-3"),
    (audio::CODEC_ID_EAC3, "eac3", "E-AC-3"),
    (audio::CODEC_ID_DCA, "dts", "DTS"),
    (audio::CODEC_ID_TRUEHD, "truehd", "TrueHD"),
    (audio::CODEC_ID_WAVPACK, "wavpack", "WavPack"),
    (audio::CODEC_ID_TTA, "tta", "TTA"),
    (audio::CODEC_ID_MUSEPACK, "musepack", "Musepack"),
    (audio::CODEC_ID_WMA, "wma", "WMA"),
    (audio::CODEC_ID_ADPCM_MS, "adpcm_ms", "ADPCM"),
    (audio::CODEC_ID_ADPCM_IMA_WAV, "adpcm_ima_wav", "ADPCM"),
    (audio::CODEC_ID_ADPCM_IMA_QT, "adpcm_ima_qt", "ADPCM"),
];

const VIDEO: &[(VideoCodecId, &str, &str)] = &[
    (video::CODEC_ID_AV1, AV1, "AV1"),
    (video::CODEC_ID_H264, "h264", "H.264"),
    (video::CODEC_ID_HEVC, "hevc", "H.265"),
    (video::CODEC_ID_VVC, "vvc", "H.266"),
    (video::CODEC_ID_VP8, "vp8", "VP8"),
    (video::CODEC_ID_VP9, "vp9", "VP9"),
    (video::CODEC_ID_MPEG1, "mpeg1", "MPEG-1"),
    (video::CODEC_ID_MPEG2, "mpeg2", "MPEG-2"),
    (video::CODEC_ID_MPEG4, "mpeg4", "MPEG-4 Visual"),
    (video::CODEC_ID_THEORA, "theora", "Theora"),
    (video::CODEC_ID_VC1, "vc1", "VC-1"),
    (video::CODEC_ID_MJPEG, "mjpeg", "Motion JPEG"),
    (video::CODEC_ID_RV40, "rv40", "RealVideo 4"),
];

/// Sample entries whose codec the demuxer does not tell, or of which people know the four characters.
const ENTRIES: &[(&[u8; 4], &str, &str)] = &[
    (b"av01", AV1, "AV1"),
    (b"avc1", "h264", "H.264"),
    (b"avc3", "h264", "H.264"),
    (b"hvc1", "hevc", "H.265"),
    (b"hev1", "hevc", "H.265"),
    (b"dvh1", "hevc", "Dolby Vision"),
    (b"dvhe", "hevc", "Dolby Vision"),
    (b"vvc1", "vvc", "H.266"),
    (b"vvi1", "vvc", "H.266"),
    (b"vp08", "vp8", "VP8"),
    (b"vp09", "vp9", "VP9"),
    (b"mp4v", "mpeg4", "MPEG-4 Visual"),
    (b"jpeg", "mjpeg", "Motion JPEG"),
    (b"apcn", "prores", "ProRes"),
    (b"apch", "prores", "ProRes"),
    (b"Opus", "opus", "Opus"),
    (b"ac-3", "ac3", "AC-3"),
    (b"ec-3", "eac3", "E-AC-3"),
    (b"ac-4", "ac4", "AC-4"),
    (b"dtsc", "dts", "DTS"),
    (b"mha1", "mpegh", "MPEG-H"),
    (b"mhm1", "mpegh", "MPEG-H"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_audio_codec_is_found_by_its_short_name() {
        for (id, short, _) in AUDIO {
            assert_eq!(audio_codec(short), *id, "{short}");
        }
        assert_eq!(audio_codec("no such codec"), CODEC_ID_NULL_AUDIO);
    }

    #[test]
    fn what_can_be_decoded_is_told_apart() {
        for short in ["pcm_s16le", "flac", "vorbis", "mp3", "aac", "alac"] {
            assert!(is_decodable(Family::Rust, Kind::Audio, short), "{short}");
        }
        for short in ["opus", "ac3", "", "av1"] {
            assert!(!is_decodable(Family::Rust, Kind::Audio, short), "{short}");
        }
        assert!(is_decodable(Family::Rust, Kind::Video, "av1") && !is_decodable(Family::Rust, Kind::Video, "h264"));
    }

    #[test]
    fn sample_entries_have_names_for_people() {
        assert_eq!(name_of_entry(*b"avc1").expect("known").label, "H.264 (avc1)");
        assert_eq!(name_of_entry(*b"\x1b[2J"), None);
    }
}
