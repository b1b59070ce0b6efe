#!/usr/bin/env bash
# xfade drops the second clip completely when its offset is the length of the first clip.
# Guess: an offset at the end of the first clip leaves nothing to fade, so that the result is a hard cut: 4 s + 4 s = 200 frames.
# Seen: 100 frames, the first clip alone, exit code 0 and no warning. One frame earlier (offset 3.96, fade of 1 s) the result has 199
# frames: the fade outlives the first clip and is cut short. A caller that computes the offset from the duration of the container reaches
# the limit when the sound of the first clip is longer than its picture by the length of the fade.
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

const frameBytes = (64 * 64 * 3) / 2;
const clip = (color) => ['-f', 'lavfi', '-i', `color=${color}:size=64x64:rate=25:duration=4`];
const expectedFrames = [
  [3, 175],
  [3.96, 199],
  [4, 100],
];

let isAsFound = true;
for (const [offset, expected] of expectedFrames) {
  const filter = `[0][1]xfade=duration=1:offset=${offset},format=yuv420p`;
  ffmpeg(...clip('red'), ...clip('blue'), '-filter_complex', filter, '-f', 'rawvideo', 'joined.yuv');
  const frames = core.FS.readFile('joined.yuv');
  const count = frames.length / frameBytes;
  // The Cb plane of the last frame: 240 is blue, 90 is red.
  const lastBlue = frames[frames.length - frameBytes + 64 * 64];
  const lastColor = lastBlue > 200 ? 'blue (second clip)' : 'red (first clip)';
  console.log(`offset ${offset}: exit code 0, ${count} frames, the last one is ${lastColor}`);
  isAsFound &&= count === expected && lastBlue > 200 === offset < 4;
}
console.log(isAsFound ? 'As found: at offset 4 the second clip is missing.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 120 node show.mjs
