/**
 * `node use-own-contract.mjs FOLDER`: last step of the build: makes the declarations import the copy of the contract's types beside them, so that the published
 * package does not need the core.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [dist = ''] = process.argv.slice(2);
for (const name of readdirSync(dist).filter((file) => file.endsWith('.d.ts'))) {
  const text = readFileSync(join(dist, name), 'utf8');
  writeFileSync(join(dist, name), text.replaceAll("'@lipsync/core/contract'", "'./contract/index.js'"));
}
