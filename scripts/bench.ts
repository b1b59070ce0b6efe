/** `npm run bench [-- preview|wav2lip]`: how fast the engines are, end to end and by stage, on a clip made from the sample. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchPreview } from './bench/bench-preview.ts';
import { toMarkdown } from './bench/bench-report.ts';
import { writeResults } from './bench/bench-results.ts';
import { benchWav2Lip } from './bench/bench-wav2lip.ts';

const clipSeconds = 60;
const benches = { preview: benchPreview, wav2lip: benchWav2Lip } as const;

const [wanted] = process.argv.slice(2);
for (const [name, bench] of Object.entries(benches)) {
  if (wanted !== undefined && wanted !== name) continue;
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-bench-'));
  try {
    const result = await bench({ folder, clipSeconds, signal: AbortSignal.timeout(15 * 60_000) });
    console.log(`${toMarkdown(result)}\n`);
    await writeResults(name, result);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
