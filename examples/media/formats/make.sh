#!/bin/sh
# Makes the clips in this folder, and beside each the list of its pictures' MD5 sums as FFmpeg's own decoder gives them.
# Made with FFmpeg 5.1 (libaom 3.6, libdav1d 1.0); other versions give other files that serve as well.
set -eu
cd "$(dirname "$0")"

ffmpeg="ffmpeg -nostdin -v error -y"
exact="-fflags +bitexact -flags +bitexact -map_metadata -1"
fast="-c:v libaom-av1 -cpu-used 8 -crf 40 -threads 1 -row-mt 0"

# encode OUT SIZE PIXEL_FORMAT PICTURES [OPTION...]
encode() {
    out=$1 size=$2 form=$3 pictures=$4
    shift 4
    $ffmpeg -f lavfi -i testsrc2=size=192x128:rate=25 -frames:v "$pictures" -vf "scale=$(echo "$size" | tr x :),setsar=1" -pix_fmt "$form" \
        $fast "$@" $exact "$out"
}

list() {
    $ffmpeg -i "$1" -map 0:v:0 -autoscale 0 -fflags +bitexact -f framemd5 - | grep -v '^#software' >"$1.framemd5"
}

encode mono.mkv 96x64 gray 8
encode mono-10.mkv 96x64 gray10le 8
encode 420.webm 96x64 yuv420p 8
encode 420-10.mp4 96x64 yuv420p10le 8
encode 420-12.mkv 96x64 yuv420p12le 8
encode 422.mkv 96x64 yuv422p 8
encode 422-10.mkv 96x64 yuv422p10le 8
encode 444.mp4 96x64 yuv444p 8
encode 444-10.mkv 96x64 yuv444p10le 8
encode odd-420.mkv 63x37 yuv420p 8
encode odd-420-10.mp4 63x37 yuv420p10le 8
encode odd-422.mkv 63x37 yuv422p 8
encode odd-444.mkv 63x37 yuv444p 8
encode one-pixel.mkv 1x1 yuv420p 3
encode grain.mkv 96x64 yuv420p 8 -aom-params film-grain-test=1

# Streams one after the other: the size changes, then the form.
encode a.obu 96x64 yuv420p 5
encode b.obu 63x37 yuv420p 5
encode c.obu 64x96 yuv420p 5
encode d.obu 64x96 yuv444p10le 5
encode e.obu 64x96 gray 5
join() {
    out=$1
    shift
    cat "$@" >all.obu
    $ffmpeg -framerate 25 -f obu -i all.obu -c copy $exact "$out"
}
join resize.mkv a.obu b.obu c.obu
join reform.mkv c.obu d.obu e.obu

for clip in *.mkv *.mp4 *.webm; do
    list "$clip"
done
# FFmpeg would convert the pictures to the form of the first; so each stream is listed by itself.
for part in c d e; do
    $ffmpeg -framerate 25 -f obu -i $part.obu -f framemd5 - >$part.list
done
{
    grep '^#' reform.mkv.framemd5
    grep -hv '^#' c.list d.list e.list |
        awk -F, '{ printf "0, %10d, %10d,%s,%s,%s\n", NR - 1, NR - 1, $4, $5, $6 }'
} >reform.new
mv reform.new reform.mkv.framemd5
rm ./*.obu ./*.list
