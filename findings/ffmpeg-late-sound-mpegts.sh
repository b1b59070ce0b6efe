#!/usr/bin/env bash
# Whether ffmpeg keeps the late start of the only sound that it decodes depends on the container, and in MPEG-TS on an offset of 1 µs.
# Guess: times of all containers count from the start of the file, the earliest of all streams, so that sound which starts 1.5 s after the
# picture starts at 1.5 s in MP4 and in MPEG-TS alike, and -itsoffset 0.000001 moves it by a microsecond.
# Seen: with -map 0:a, sound in MP4 starts at 1.5 s, in MPEG-TS at 0; with -itsoffset 0.000001 before -i also the latter starts at 1.5 s.
# For formats with clocks that may jump, ffmpeg lets the times start with the first selected stream, but only while its offset is exactly
# that of the file.
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

/** Time of the first decoded sound in seconds. */
function readStart(...input) {
  ffmpeg(...input, '-map', '0:a:0', '-af', 'ashowinfo', '-f', 'null', '-');
  return Number(/pts_time:([\d.]+)/.exec(log.find((line) => line.includes('pts_time:')) ?? '')?.[1]);
}

const picture = ['-f', 'lavfi', '-i', 'color=s=64x64:r=25:d=3'];
const sound = (rate, seconds) => ['-f', 'lavfi', '-i', `sine=sample_rate=${rate}:duration=${seconds}`];
const late = (name) =>
  ffmpeg(...picture, '-itsoffset', '1.5', ...sound(48000, 1), '-map', '0', '-map', '1', '-c:v', 'mpeg4', '-c:a', 'aac', name);
late('late.mp4');
late('late.ts');
const starts = {
  mp4: readStart('-i', 'late.mp4'),
  ts: readStart('-i', 'late.ts'),
  tsWithOffset: readStart('-itsoffset', '0.000001', '-i', 'late.ts'),
};
console.log('start of sound that starts 1.5 s after the picture:', starts);

const near = (value, expected) => Math.abs(value - expected) < 0.1;
const isAsFound = near(starts.mp4, 1.5) && near(starts.ts, 0) && near(starts.tsWithOffset, 1.5);
console.log(isAsFound ? 'As found.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 120 node show.mjs
