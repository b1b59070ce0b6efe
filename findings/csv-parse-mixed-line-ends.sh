#!/usr/bin/env bash
# csv-parse requires of all lines the line end of the first one, and otherwise leaves line ends in values.
# Guess: the "auto discovery" of record_delimiter, which is the default, recognizes LF, CRLF and CR at the end of each line, as
# Python's csv module does.
# Seen: a header with LF before rows with CRLF gives the value "b.wav\r" without an error, and an error if the values are in quotes. A
# header with CRLF before rows with LF joins all rows: with one column they silently become one value, with several the number of
# columns is an error. A record_delimiter that lists all three reads every one of these texts.
# Needs Node and npm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix . csv-parse@7.0.3

cat > show.mjs <<'SCRIPT'
import { readFileSync } from 'node:fs';
import { parse } from 'csv-parse/sync';

console.log(`csv-parse ${JSON.parse(readFileSync('node_modules/csv-parse/package.json')).version}, Node ${process.version}`);

function read(text, options) {
  try {
    return JSON.stringify(parse(text, options));
  } catch (error) {
    return error.code;
  }
}

const texts = [
  ['video,audio\na.mp4,b.wav\r\n', '[["video","audio"],["a.mp4","b.wav\\r"]]'],
  ['video,audio\n"a.mp4","b.wav"\r\n', 'CSV_INVALID_CLOSING_QUOTE'],
  ['video,audio\r\na.mp4,b.wav\nc.mp4,d.wav\n', 'CSV_RECORD_INCONSISTENT_FIELDS_LENGTH'],
  ['video\r\na.mp4\nb.mp4\n', '[["video"],["a.mp4\\nb.mp4\\n"]]'],
];
let isAsFound = true;
for (const [text, expected] of texts) {
  const seen = read(text);
  const rows = text.trim().split(/\r?\n/).map((line) => line.replaceAll('"', '').split(','));
  const withList = read(text, { record_delimiter: ['\r\n', '\n', '\r'] });
  console.log(`${JSON.stringify(text)}\n  default: ${seen}\n  list:    ${withList}`);
  isAsFound &&= seen === expected && withList === JSON.stringify(rows);
}
console.log(isAsFound ? 'As found: the first line decides for all.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 60 node show.mjs
