#!/usr/bin/env bash
# `-ac N` changes the sound of a file that already has N channels when its layout is not ffmpeg's default layout of N channels.
# Guess: `-ac 4` on a file of four channels does nothing, because no channel has to be added or removed.
# Seen: on a file in the layout "quad" (front and back pairs), `-ac 4` writes the layout "4.0" (left, right, center, back center). A sound on
# the third channel (back left) moves to the fourth, 3 dB quieter, and the third is silent; two sounds of opposite phase on the back pair
# disappear altogether. "5.1(side)" becomes "5.1" without a change of samples. Without `-ac`, or with `aresample=ochl=quad`, the channels stay.
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

/** The peak of each channel, from the floats that ffmpeg writes. */
function peaks(count, ...args) {
  ffmpeg('-i', 'in.wav', ...args, '-f', 'f32le', 'out.raw');
  const bytes = core.FS.readFile('out.raw');
  const samples = new Float32Array(bytes.slice().buffer);
  return Array.from({ length: count }, (_, channel) => {
    let peak = 0;
    for (let index = channel; index < samples.length; index += count) peak = Math.max(peak, Math.abs(samples[index]));
    return Number(peak.toFixed(2));
  });
}

const tone = '0.5*sin(2*PI*300*t)';
const cases = [
  { name: 'quad, sound on channel 3', layout: 'quad', levels: [0, 0, 1, 0], expected: [0, 0, 0, 0.35] },
  { name: 'quad, opposite phase on 3 and 4', layout: 'quad', levels: [0, 0, 1, -1], expected: [0, 0, 0, 0] },
  { name: '5.1(side), sound on channel 5', layout: '5.1(side)', levels: [0, 0, 0, 0, 1, 0], expected: [0, 0, 0, 0, 0.5, 0] },
];
let isAsFound = true;
for (const { name, layout, levels, expected } of cases) {
  const exprs = levels.map((level) => `${level}*${tone}`).join('|');
  ffmpeg('-f', 'lavfi', '-i', `aevalsrc=exprs='${exprs}':c=${layout}:d=0.5:s=16000`, '-c:a', 'pcm_f32le', 'in.wav');
  const before = levels.map((level) => Math.abs(level) / 2);
  const kept = peaks(levels.length);
  const given = peaks(levels.length, '-ac', String(levels.length));
  console.log(`${name}: without -ac ${kept.join(' ')}, with -ac ${levels.length} ${given.join(' ')}`);
  isAsFound &&= kept.every((peak, index) => Math.abs(peak - before[index]) < 0.02);
  isAsFound &&= given.every((peak, index) => Math.abs(peak - expected[index]) < 0.02);
}
console.log(isAsFound ? 'As found: -ac with the same number of channels is a conversion.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 120 node show.mjs
