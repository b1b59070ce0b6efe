#!/usr/bin/env bash
# What ffprobe reports for the first half of a sound file, for example an upload that broke off, depends on the format.
# Guess: all formats whose header declares the length of PCM report the declared length, and a caller finds the cut only by decoding.
# Seen: WAV, W64 and CAF report what is left (5 of 10 s), AIFF, AU and FLAC the declared 10 s. The exit code is 0 for all of them.
# CAF also keeps the declared number of samples in nb_frames, so one answer contradicts itself. A comparison of reported and decoded
# length detects a cut AIFF and never a cut WAV.
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

/** Returns the duration in seconds and the number of samples in the header, if the format has one. */
function ffprobe(path) {
  const exitCode = core.ffprobe('-v', 'error', '-show_entries', 'format=duration:stream=nb_frames', '-of', 'json', '-o', 'probe.json', path);
  if (exitCode !== 0) throw new Error(`ffprobe ended with exit code ${exitCode}`);
  const { format, streams } = JSON.parse(new TextDecoder().decode(core.FS.readFile('probe.json')));
  return { seconds: Number(format.duration), samples: streams[0].nb_frames };
}

core.exec('-version');
console.log(`@ffmpeg/core 0.12.10, ${log[0]}, Node ${process.version}`);

const expectedAnswers = { wav: 'left', w64: 'left', caf: 'left', aiff: 'declared', au: 'declared', flac: 'declared' };

let isAsFound = true;
for (const [extension, expected] of Object.entries(expectedAnswers)) {
  const whole = `whole.${extension}`;
  const cut = `cut.${extension}`;
  ffmpeg('-f', 'lavfi', '-i', 'sine=440:duration=10:sample_rate=48000', whole);
  const bytes = core.FS.readFile(whole);
  core.FS.writeFile(cut, bytes.subarray(0, bytes.length / 2));
  const [wholeAnswer, cutAnswer] = [ffprobe(whole), ffprobe(cut)];
  ffmpeg('-i', cut, '-f', 's16le', 'decoded.raw');
  const decodedSeconds = core.FS.stat('decoded.raw').size / 2 / 48_000;
  console.log(`${extension}: whole ${wholeAnswer.seconds.toFixed(3)} s, half ${cutAnswer.seconds.toFixed(3)} s`);
  console.log(`  nb_frames of the half ${cutAnswer.samples ?? 'none'}, decoded ${decodedSeconds.toFixed(3)} s`);
  const seen = Math.abs(cutAnswer.seconds - 10) < 0.001 ? 'declared' : 'left';
  isAsFound &&= seen === expected && wholeAnswer.seconds === 10 && decodedSeconds < 6;
}
console.log(isAsFound ? 'As found: the rule differs between formats.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 120 node show.mjs
