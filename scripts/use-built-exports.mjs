/**
 * `node use-built-exports.mjs PACKAGE_FOLDER...`, in an image's build stage only: makes each package offer its built
 * JavaScript instead of its sources. `pnpm pack` does the same by itself, `pnpm deploy` does not.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

for (const folder of process.argv.slice(2)) {
  const path = join(folder, 'package.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  const exported = manifest.publishConfig?.exports;
  if (exported === undefined)
    throw new Error(`${path} does not say in publishConfig.exports what it offers once built.`);
  const missing = Object.values(exported)
    .map((entry) => join(folder, entry.default))
    .filter((file) => !existsSync(file));
  if (missing.length > 0) throw new Error(`Not built: ${missing.join(', ')}`);
  writeFileSync(path, JSON.stringify({ ...manifest, exports: exported }, null, 2));
}
