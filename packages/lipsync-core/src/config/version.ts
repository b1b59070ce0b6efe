import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The version in the package description, two folders up from this module, built or not. */
export function readVersion(): string {
  const { version }: { version: string } = JSON.parse(
    readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8'),
  );
  return version;
}
