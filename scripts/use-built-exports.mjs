/**
 * `node use-built-exports.mjs PACKAGE_FOLDER...`: makes each package export its built JavaScript instead of its sources.
 * Used in the build stage of images only, because `pnpm deploy` ignores `publishConfig`, unlike `pnpm pack`.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

for (const folder of process.argv.slice(2)) {
  const path = join(folder, 'package.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  const exported = manifest.publishConfig?.exports;
  if (exported === undefined) throw new Error(`${path} has no publishConfig.exports.`);
  const missing = Object.values(exported)
    .map((entry) => join(folder, entry.default))
    .filter((file) => !existsSync(file));
  if (missing.length > 0) throw new Error(`Files are not built: ${missing.join(', ')}`);
  writeFileSync(path, JSON.stringify({ ...manifest, exports: exported }, null, 2));
}
