#!/usr/bin/env bash
# An accurate seek of ffmpeg in MPEG-TS (-ss before -i) starts at the key frame after the requested time, or returns no picture at all.
# Guess: without an index the seek is slow, but ffmpeg decodes from a key frame before the time and drops pictures up to it, as the
# documentation of -ss says ("the closest seek point before position"), so the first picture is the requested one, as in MP4.
# Seen: with a key frame every 2 s, -ss 0.2, 1 and 1.9 all start at 2 s, so up to 45 frames are missing, and asking for a time 1.7 s
# earlier changes nothing. With x264's default distance of 250 frames, -ss 1 in 8 s of video returns no picture: exit code 0 and a
# warning. The same stream in MP4, and -ss after -i, are exact. In MPEG-TS any packet is a seek point, and the decoder drops pictures
# until a key frame; "-flags output_corrupt" before -i returns them, damaged.
# Needs Node and npm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# This package contains ffmpeg and ffprobe as WebAssembly.
npm install --silent --no-audit --no-fund --prefix . @ffmpeg/core@0.12.10

cat > show.mjs <<'SCRIPT'
import { readFileSync } from 'node:fs';

// The module expects the scope of a browser worker.
globalThis.self = globalThis;
globalThis.location ??= { href: 'file:///' };
const { default: createCore } = await import('./node_modules/@ffmpeg/core/dist/esm/ffmpeg-core.js');
const core = await createCore({ wasmBinary: readFileSync('node_modules/@ffmpeg/core/dist/esm/ffmpeg-core.wasm') });
const log = [];
core.setLogger(({ message }) => log.push(message));

function ffmpeg(...args) {
  log.length = 0;
  const exitCode = core.exec('-nostdin', '-hide_banner', '-y', ...args);
  if (exitCode !== 0) throw new Error(log.join('\n'));
}

core.exec('-version');
console.log(`@ffmpeg/core 0.12.10, ${log[0]}, Node ${process.version}`);

/** Makes 8 s at 25 fps in MPEG-TS, and the same stream in MP4. The brightness of a picture is 16 plus its number. */
function makeVideos(keyFrameDistance) {
  const pictures = "nullsrc=s=64x64:r=25:d=8,format=yuv420p,geq=lum='16+N':cb=128:cr=128";
  const coding = ['-c:v', 'libx264', '-qp', '10', '-sc_threshold', '0', '-bf', '0', '-refs', '1', '-g', String(keyFrameDistance)];
  ffmpeg('-f', 'lavfi', '-i', pictures, ...coding, 'video.ts');
  ffmpeg('-i', 'video.ts', '-c', 'copy', 'video.mp4');
}

/** Returns the number of the first picture and how many there are. */
function read(...input) {
  ffmpeg(...input, '-vsync', '0', '-pix_fmt', 'yuv420p', '-f', 'rawvideo', 'pictures.yuv');
  const bytes = core.FS.readFile('pictures.yuv');
  const count = bytes.length / (64 * 64 * 1.5);
  const luma = bytes.subarray(0, 64 * 64).reduce((sum, value) => sum + value, 0) / (64 * 64);
  return { first: count === 0 ? undefined : Math.round(luma - 16), count };
}

let isAsFound = true;
function compare(seconds, expectedFirst) {
  const wanted = Math.ceil(Number((seconds * 25).toFixed(3)));
  const ts = read('-ss', String(seconds), '-i', 'video.ts');
  const isWarned = log.some((line) => line.includes('Output file is empty'));
  const mp4 = read('-ss', String(seconds), '-i', 'video.mp4');
  const corrupt = read('-flags', 'output_corrupt', '-ss', String(seconds), '-i', 'video.ts');
  const decoded = read('-i', 'video.ts', '-ss', String(seconds));
  console.log(`-ss ${seconds}, wanted: first picture ${wanted}, ${200 - wanted} pictures`);
  console.log(`  TS: ${ts.first ?? 'none'}, ${ts.count}; MP4: ${mp4.first}, ${mp4.count}`);
  console.log(`  TS, -ss after -i: ${decoded.first}, ${decoded.count}; with output_corrupt: ${corrupt.count} pictures`);
  isAsFound &&= ts.first === expectedFirst && ts.count === 200 - (expectedFirst ?? 200) && isWarned === (ts.count === 0);
  isAsFound &&= corrupt.count === 200 - wanted;
  isAsFound &&= [mp4, decoded].every(({ first, count }) => first === wanted && count === 200 - wanted);
}

console.log('A key frame every 50 frames:');
makeVideos(50);
for (const seconds of [0.2, 1, 1.9]) compare(seconds, 50);
compare(4.2, 150);
console.log('One every 250 frames, as x264 does by default:');
makeVideos(250);
compare(1, undefined);
console.log(isAsFound ? 'As found: only MPEG-TS loses what precedes the next key frame.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 120 node show.mjs
