#!/usr/bin/env bash
# The S3 client of the AWS SDK for JavaScript names the error of a reset connection `TimeoutError`, fails with a
# TypeError when its credentials object is frozen, and cuts off a download when the signal of the resolved `send()` is
# aborted.
# Guess: a reset connection is an `Error` with code ECONNRESET, and only an exceeded time limit is a TimeoutError;
# credentials are only read; the signal of `send()` has no effect after `send()` has resolved.
# Seen: the name is TimeoutError although no time limit is set, and only `code` tells the two apart; with frozen
# credentials, `send()` fails before any request; a signal that limits the time of the response also cuts off long
# downloads.
# Needs Node and npm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --prefix . @aws-sdk/client-s3@3.1175.0

cat > show.mjs <<'SCRIPT'
import { createServer } from 'node:http';
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';

const server = createServer((request, response) => {
  if (request.url.includes('reset')) return void request.socket.resetAndDestroy();
  response.writeHead(200, { 'Content-Length': 10 }).write('half.');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' };
const settings = { endpoint: `http://127.0.0.1:${server.address().port}`, region: 'us-east-1', forcePathStyle: true, maxAttempts: 1 };
const open = (given) => new S3Client({ ...settings, credentials: given });
const get = (client, Key, signal) => client.send(new GetObjectCommand({ Bucket: 'bucket', Key }), { abortSignal: signal });
const failureOf = (call) => call.then(() => undefined, (error) => error);

console.log(`@aws-sdk/client-s3 3.1175.0, Node ${process.version}`);
const reset = await failureOf(get(open({ ...credentials }), 'reset'));
console.log('reset connection:', reset.name, reset.code);
const frozen = await failureOf(get(open(Object.freeze({ ...credentials })), 'object'));
console.log('frozen credentials:', frozen.name, frozen.message);
const controller = new AbortController();
const { Body } = await get(open({ ...credentials }), 'object', controller.signal);
controller.abort();
const ended = await failureOf(Body.transformToString());
console.log('signal aborted after the answer:', ended?.name, ended?.message);
server.closeAllConnections();
server.close();
const isAsFound = reset.name === 'TimeoutError' && reset.code === 'ECONNRESET' && frozen.name === 'TypeError' && ended !== undefined;
console.log(isAsFound ? 'As found.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 60 node show.mjs
