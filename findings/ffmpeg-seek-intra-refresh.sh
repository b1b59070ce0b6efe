#!/usr/bin/env bash
# An accurate seek of ffmpeg (-ss before -i) in an MP4 file that x264 made with intra-refresh loses seconds of pictures.
# Guess: recovery points are not marked as key frames in MP4, so ffmpeg decodes from the only IDR picture, at the start, slowly and
# exactly. If they are marked, all pictures are returned, and those before the end of a refresh are damaged.
# Seen: each recovery point is marked, ffmpeg starts at the last one before the time, and the decoder drops all pictures until a refresh
# has ended. With one every 50 frames up to 38 frames are missing without B-frames, up to 81 with 3 of them, where nothing is left of
# the last 2 s. The exit code is 0 and ffmpeg counts 0 decoding errors. -ss after -i is exact; "-flags output_corrupt" before -i
# returns every picture, damaged ones too.
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

/** Makes 10 s at 25 fps. */
function makeVideo(path, ...coding) {
  ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=640x64:r=25:d=10', '-c:v', 'libx264', '-sc_threshold', '0', '-g', '50', ...coding, path);
}

function listKeyFrames(path) {
  core.ffprobe('-v', 'error', '-show_entries', 'packet=pts_time,flags', '-of', 'csv=p=0', '-o', 'packets.csv', path);
  const lines = new TextDecoder().decode(core.FS.readFile('packets.csv')).split('\n');
  return lines.filter((line) => line.includes('K')).map((line) => Number(line.split(',')[0]));
}

/** Returns how many pictures come out. */
function count(...input) {
  ffmpeg(...input, '-vsync', '0', '-f', 'framecrc', 'frames.txt');
  const lines = new TextDecoder().decode(core.FS.readFile('frames.txt')).split('\n');
  return lines.filter((line) => line.startsWith('0,')).length;
}

const refresh = ['-x264-params', 'intra-refresh=1'];
// The frames that are expected to be missing with -ss 1, 2, 3 and 8.
const videos = [
  { name: 'IDR pictures', coding: ['-bf', '3'], missing: [0, 0, 0, 0] },
  { name: 'intra-refresh without B-frames', coding: ['-bf', '0', ...refresh], missing: [0, 38, 13, 38] },
  { name: 'intra-refresh with 3 B-frames', coding: ['-bf', '3', ...refresh], missing: [0, 81, 56, 50] },
];

let isAsFound = true;
for (const { name, coding, missing } of videos) {
  makeVideo('video.mp4', ...coding);
  console.log(`${name}: ${count('-i', 'video.mp4')} frames, key frames at ${listKeyFrames('video.mp4').join(', ')} s`);
  for (const [index, seconds] of [1, 2, 3, 8].entries()) {
    const wanted = 250 - seconds * 25;
    const seek = ['-ss', String(seconds), '-i', 'video.mp4'];
    const frames = count(...seek);
    const errors = log.map((line) => /\d+ decoding errors/.exec(line)?.[0]).find(Boolean);
    const [late, corrupt] = [count('-i', 'video.mp4', '-ss', String(seconds)), count('-flags', 'output_corrupt', ...seek)];
    console.log(`  -ss ${seconds}: ${frames} of ${wanted} frames, ${errors}; after -i ${late}; with output_corrupt ${corrupt}`);
    isAsFound &&= wanted - frames === missing[index] && errors === '0 decoding errors' && late === wanted && corrupt === wanted;
  }
}
console.log(isAsFound ? 'As found: frames are missing after a seek.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 120 node show.mjs
