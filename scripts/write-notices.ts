/** `node scripts/write-notices.ts`: writes THIRD_PARTY_NOTICES. Run it after a dependency or a model has changed. */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createNotices, noticesName } from './check/third-party-notices.ts';

const projectDir = dirname(import.meta.dirname);
writeFileSync(join(projectDir, noticesName), createNotices(projectDir));
