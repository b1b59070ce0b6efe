#!/usr/bin/env bash
# zod-openapi accepts two different schemas with one id while one is used only in requests and the other only in responses.
# Guess: createDocument throws for two schemas with one id wherever they are used, as it does within one response, because an id is the
# name of one component.
# Seen: the schema of the response becomes the component "ThingOutput", the name of the output of the schema "Thing", so a reader takes
# the two for one type. Once another route uses both schemas on one side, createDocument throws, although the first route is the same.
# Needs Node and npm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix . zod@4.6.7 zod-openapi@6.0.2

cat > show.mjs <<'SCRIPT'
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { createDocument } from 'zod-openapi';

const versions = ['zod', 'zod-openapi'].map((name) => `${name} ${JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version}`);
console.log(`${versions.join(', ')}, Node ${process.version}`);

const upload = z.object({ file: z.string() }).meta({ id: 'Thing' });
const invoice = z.object({ cents: z.int() }).meta({ id: 'Thing' });
const content = (schema) => ({ content: { 'application/json': { schema } } });
const answer = (schema) => ({ 200: { description: 'The answer.', ...content(schema) } });

/** Returns the names of the components and their properties, or the message of the error. */
function describe(title, paths) {
  let result;
  try {
    const { components } = createDocument({ openapi: '3.1.1', info: { title: 'Example', version: '1' }, paths });
    result = Object.entries(components.schemas).map(([name, { properties }]) => `${name}(${Object.keys(properties)})`).join(' ');
  } catch (error) {
    result = error.message;
  }
  console.log(`${title}: ${result}`);
  return result;
}

const order = { post: { requestBody: content(upload), responses: answer(invoice) } };
const accepted = describe('request and response', { '/orders': order });
const within = describe('one response', { '/things': { get: { responses: answer(z.object({ upload, invoice })) } } });
const uploads = { get: { responses: answer(upload) } };
const later = describe('request and response, and a second route', { '/orders': order, '/uploads': uploads });

const isRefused = [within, later].every((text) => text.startsWith('Duplicate schema id "Thing"'));
const isAsFound = accepted === 'Thing(file) ThingOutput(cents)' && isRefused;
console.log(isAsFound ? 'As found: the conflict is reported only on one side.' : 'The behavior has changed.');
process.exitCode = isAsFound ? 0 : 1;
SCRIPT
timeout 60 node show.mjs
