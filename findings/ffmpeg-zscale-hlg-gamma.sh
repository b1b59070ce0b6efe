#!/usr/bin/env bash
# zscale of ffmpeg changes the strong colors of HLG; grays are exact.
# Guess: transfer=linear applies the system gamma of HLG to luminance, as BT.2100 defines it, so that a color which was encoded by the
# standard comes back within rounding.
# Seen: the gamma of 1.2 is applied to each channel. A gray comes back exactly, a blue cloth a third more saturated (Debian's ffmpeg 5.1.9: half). What
# zscale itself encoded comes back unchanged, so that a test with ffmpeg on both sides does not show it.
# Needs Node and npm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# This package contains ffmpeg with zscale as WebAssembly.
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

/** Converts one 10-bit HLG color to 8-bit BT.709 with white at 203 cd/m2. */
function convert([luma, cb, cr]) {
  const source = `color=black:s=64x64:d=0.04:r=25,format=yuv444p10le,geq=lum=${luma}:cb=${cb}:cr=${cr}`;
  const filter = [
    'setparams=range=tv:color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc',
    'zscale=transfer=linear:npl=203,format=gbrpf32le,zscale=primaries=bt709',
    'zscale=transfer=bt709:matrix=bt709:range=tv,format=yuv444p',
  ].join(',');
  const code = core.exec('-f', 'lavfi', '-i', source, '-vf', filter, '-frames:v', '1', '-f', 'rawvideo', 'out.yuv');
  core.reset();
  if (code !== 0) throw new Error(log.slice(-5).join('\n'));
  const bytes = core.FS.readFile('out.yuv');
  return [bytes[0], bytes[4096], bytes[8192]];
}

// SDR gray 0.5 and SDR blue cloth (0.1, 0.3, 0.55), as BT.2100 encodes the same light on a display of 1000 cd/m2.
const gray = convert([502, 512, 512]);
const cloth = convert([293, 638, 474]);
console.log(log.find((line) => line.startsWith('ffmpeg version')));
console.log(`gray: ${gray}; by BT.2100 near 139,128,128`);
console.log(`blue cloth: ${cloth}; by BT.2100 76,161,103`);
const isExact = Math.abs(gray[0] - 139) <= 3 && Math.abs(gray[1] - 128) <= 1;
const isOff = Math.abs(cloth[1] - 161) > 6 && Math.abs(cloth[2] - 103) > 8;
process.exit(isExact && isOff ? 0 : 1);
SCRIPT
node show.mjs
