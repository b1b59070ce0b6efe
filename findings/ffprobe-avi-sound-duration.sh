#!/usr/bin/env bash
# ffprobe reports a wrong duration for an intact AVI file that contains only PCM sound.
# Guess: 10.000 s of PCM are reported as 10.000 s, because the header of the stream has the number of samples and the rate.
# Seen: 10.119 s at 8 kHz and 10.117 s at 48 kHz, though nb_frames in the same answer is exact and 10.000 s are decoded. The duration is
# the byte count from the sound data to the end of the file, with chunk headers and index, divided by the byte rate of the PCM; it grows as
# the chunks become smaller. WAV with the same samples is exact. Use nb_frames, or decode.
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
  core.ffprobe('-v', 'error', '-show_entries', 'format=duration:stream=nb_frames', '-of', 'json', '-o', 'probe.json', path);
  const { format, streams } = JSON.parse(new TextDecoder().decode(core.FS.readFile('probe.json')));
  return { seconds: Number(format.duration), samples: streams[0].nb_frames };
}

core.exec('-version');
console.log(`@ffmpeg/core 0.12.10, ${log[0]}, Node ${process.version}`);

/** Returns how many seconds of sound ffmpeg decodes. */
function decode(path, sampleRate) {
  ffmpeg('-i', path, '-f', 's16le', 'decoded.raw');
  return core.FS.stat('decoded.raw').size / 2 / sampleRate;
}

let isAsFound = true;
for (const sampleRate of [8000, 48_000]) {
  for (const extension of ['wav', 'avi']) {
    const path = `sound.${extension}`;
    ffmpeg('-f', 'lavfi', '-i', `sine=440:duration=10:sample_rate=${sampleRate}`, '-c:a', 'pcm_s16le', path);
    const bytes = Buffer.from(core.FS.readFile(path));
    const dataOffset = bytes.indexOf(extension === 'avi' ? 'movi' : 'data') + 4;
    const { seconds, samples } = ffprobe(path);
    const decodedSeconds = decode(path, sampleRate);
    const bySize = ((bytes.length - dataOffset) / 2 / sampleRate).toFixed(3);
    console.log(`${extension} ${sampleRate} Hz: ffprobe ${seconds.toFixed(3)} s, nb_frames ${samples ?? 'none'}`);
    console.log(`  decoded ${decodedSeconds.toFixed(3)} s, rest of the file / byte rate ${bySize} s`);
    const isAnswerAsFound = extension === 'avi' ? seconds > 10.05 && Number(samples) === 10 * sampleRate : seconds === 10;
    isAsFound &&= decodedSeconds === 10 && isAnswerAsFound;
  }
}
console.log(isAsFound ? 'As found: the duration of AVI is an estimate, that of WAV is exact.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 120 node show.mjs
