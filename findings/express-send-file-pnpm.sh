#!/usr/bin/env bash
# Express' sendFile does not find the files of a package that pnpm installed, although it serves those that npm installed.
# Guess: the option dotfiles ("ignore" by default) concerns the names that clients request, as in express.static, so an absolute path
# that the program got from require.resolve is served wherever the package lies.
# Seen: without root, every folder of the absolute path counts. Because of pnpm's folder node_modules/.pnpm, sendFile and download
# respond with 404 "Not Found", and nothing mentions the dot. sendFile with that folder as root and express.static serve the file.
# Needs Node and npm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir tools with-npm with-pnpm
npm install --silent --no-audit --no-fund --prefix tools pnpm@10.12.1
for project in with-npm with-pnpm; do echo '{ "private": true }' > "$project/package.json"; done
npm install --silent --no-audit --no-fund --prefix with-npm express@5.3.0 normalize.css@8.0.1
(cd with-pnpm && ../tools/node_modules/.bin/pnpm add --silent --store-dir "$folder/store" express@5.3.0 normalize.css@8.0.1)

cat > serve.mjs <<'SCRIPT'
import { createRequire } from 'node:module';
import { basename, dirname, relative } from 'node:path';

const require = createRequire(`${process.cwd()}/main.js`);
const express = require('express');
const file = require.resolve('normalize.css');
const app = express().set('env', 'test');
app.get('/send-file', (_request, response) => response.sendFile(file));
app.get('/download', (_request, response) => response.download(file));
app.get('/send-file-with-root', (_request, response) => response.sendFile(basename(file), { root: dirname(file) }));
app.use('/static', express.static(dirname(file)));
const server = app.listen(0, '127.0.0.1', async () => {
  const statuses = [];
  for (const path of ['send-file', 'download', 'send-file-with-root', 'static/normalize.css'])
    statuses.push((await fetch(`http://127.0.0.1:${server.address().port}/${path}`)).status);
  console.error(`express ${require('express/package.json').version}, Node ${process.version}, ${relative('.', file)}`);
  console.log(...statuses);
  process.exit();
});
SCRIPT
echo 'pnpm' "$(tools/node_modules/.bin/pnpm --version)"
npm_statuses=$(cd with-npm && node ../serve.mjs)
pnpm_statuses=$(cd with-pnpm && node ../serve.mjs)
echo 'sendFile, download, sendFile with root, express.static'
echo "npm:  $npm_statuses"
echo "pnpm: $pnpm_statuses"
[ "$npm_statuses" = '200 200 200 200' ] && [ "$pnpm_statuses" = '404 404 200 200' ]
