#!/usr/bin/env bash
# undici's fetch holds a whole uploaded file in memory, unless the request has redirect: 'error'.
# Guess: a form with a file-backed Blob (fs.openAsBlob) is streamed with its backpressure, whatever the redirect mode is, because a
# POST body is not sent again after a redirect unless the server demands it with 307 or 308.
# Seen: with redirect 'follow' (the default) and 'manual', fetch clones the request, which tees the body, and the unread half buffers
# everything that was sent: an upload of 600 MB needs 600 MB. With redirect 'error' there is no clone, and it needs some MB. A Blob
# instead of the form makes no difference.
# Needs Node 22.19 or later and npm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix . undici@8.12.4
truncate -s 600M clip.bin

cat > upload.mjs <<'SCRIPT'
import { openAsBlob } from 'node:fs';
import { createServer } from 'node:http';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { fetch, FormData } from 'undici';

if (!isMainThread) {
  const server = createServer((request, response) => request.on('data', () => {}).on('end', () => response.end()));
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
} else {
  const receiver = new Worker(new URL(import.meta.url));
  const port = await new Promise((resolve) => receiver.once('message', resolve));
  const measure = async (redirect) => {
    const form = new FormData();
    form.append('video', await openAsBlob('clip.bin'), 'clip.mp4');
    let peak = 0;
    const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage().arrayBuffers)), 5);
    const before = process.memoryUsage().arrayBuffers;
    await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: form, redirect });
    clearInterval(timer);
    return Math.round((peak - before) / 1e6);
  };
  console.log(await measure(process.argv[2]));
  process.exit();
}
SCRIPT
node -e 'console.log(`undici ${require("./node_modules/undici/package.json").version}, Node ${process.version}`)'
echo "MB of buffers while a file of 600 MB is sent, by redirect mode:"
declare -A peak
for mode in error manual follow; do
  peak[$mode]=$(node upload.mjs "$mode")
  echo "$mode ${peak[$mode]}"
done
[ "${peak[error]}" -lt 200 ] && [ "${peak[manual]}" -gt 450 ] && [ "${peak[follow]}" -gt 450 ]
