#!/bin/sh
# Makes the clips in this folder, and beside each the list of its pictures' MD5 sums, or the MD5 sum of its 16-bit
# samples, as FFmpeg itself gives them. Made with FFmpeg 5.1 of Debian 12; other versions give other files that serve as well.
set -eu
cd "$(dirname "$0")"

ffmpeg="ffmpeg -nostdin -v error -y"
exact="-fflags +bitexact -flags +bitexact -map_metadata -1"
pictures="-f lavfi -i testsrc2=size=128x96:rate=25"
sound="-f lavfi -i sine=frequency=440:sample_rate=48000:beep_factor=4"

# video OUT PIXEL_FORMAT PICTURES ENCODER_OPTION...
video() {
    out=$1 form=$2 count=$3
    shift 3
    # shellcheck disable=SC2086
    $ffmpeg $pictures -frames:v "$count" -vf setsar=1 -pix_fmt "$form" "$@" $exact "$out"
    $ffmpeg -i "$out" -map 0:v:0 -fflags +bitexact -f framemd5 - | grep -v '^#software' >"$out.framemd5"
}

# audio OUT ENCODER_OPTION...
audio() {
    out=$1
    shift
    # shellcheck disable=SC2086
    $ffmpeg $sound -t 1 -ac 2 "$@" $exact "$out"
    $ffmpeg -i "$out" -map 0:a:0 -f s16le - | md5sum | cut -d' ' -f1 >"$out.s16md5"
}

h264="-c:v libx264 -preset medium -crf 32 -threads 1 -bf 3 -g 12"
video h264-b.mp4 yuv420p 36 $h264 -x264-params b-pyramid=normal:open-gop=1:slices=4
video h264-b.ts yuv420p 36 $h264
video h264-b.avi yuv420p 36 $h264
video h264-10.mkv yuv420p10le 24 $h264
video h264-422-10.mkv yuv422p10le 12 $h264
video h264-444.mkv yuv444p 12 $h264
hevc="-c:v libx265 -preset medium -crf 32"
x265="log-level=none:bframes=3:keyint=12:pools=none:frame-threads=1:info=0"
video hevc-b.mp4 yuv420p 36 $hevc -x265-params $x265 -tag:v hvc1
video hevc-10.mkv yuv420p10le 24 $hevc -x265-params $x265
vp9="-c:v libvpx-vp9 -crf 44 -b:v 0 -g 12 -threads 1 -row-mt 0 -auto-alt-ref 1 -lag-in-frames 12"
video vp9.webm yuv420p 36 $vp9
video vp9-10.webm yuv420p10le 24 $vp9
video vp9-444.webm yuv444p 12 $vp9
video vp8.webm yuv420p 24 -c:v libvpx -crf 40 -b:v 80k -threads 1
av1="-c:v libaom-av1 -cpu-used 8 -crf 44 -g 12 -threads 1 -row-mt 0"
video av1.mp4 yuv420p 24 $av1
video av1-10.webm yuv420p10le 24 $av1
video mpeg4-b.avi yuv420p 24 -c:v mpeg4 -q:v 12 -bf 2 -threads 1
video mpeg2-b.ts yuv420p 24 -c:v mpeg2video -q:v 12 -bf 2 -threads 1
video mjpeg.mov yuvj420p 6 -c:v mjpeg -q:v 20 -threads 1
video prores.mov yuv422p10le 2 -c:v prores_ks -profile:v 0 -threads 1
video ffv1.mkv yuv422p 4 -c:v ffv1 -level 3 -threads 1

audio opus.webm -c:a libopus -b:a 48k
audio opus.ogg -c:a libopus -b:a 48k
audio aac.mp4 -c:a aac -b:a 64k
audio ac3.mkv -c:a ac3 -b:a 96k
audio eac3.mp4 -c:a eac3 -b:a 96k
audio mp2.mp2 -c:a mp2 -b:a 96k
audio mp3.mp3 -c:a libmp3lame -b:a 64k
audio vorbis.ogg -c:a libvorbis -q:a 1
audio alac.m4a -c:a alac -sample_fmt s16p
audio wavpack.wv -c:a wavpack
audio flac24.flac -c:a flac -sample_fmt s32
audio mulaw.wav -c:a pcm_mulaw -ar 8000

# shellcheck disable=SC2086
$ffmpeg $pictures $sound -t 2 -vf setsar=1 -pix_fmt yuv420p $h264 -c:a aac -b:a 48k $exact both.mp4
$ffmpeg -i both.mp4 -map 0:v:0 -fflags +bitexact -f framemd5 - | grep -v '^#software' >both.mp4.framemd5
$ffmpeg -i both.mp4 -map 0:a:0 -f s16le - | md5sum | cut -d' ' -f1 >both.mp4.s16md5
