/** `npm run bench`: how fast the preview engine is, end to end and by stage, on a clip made from the sample. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchPreview } from './bench/bench-preview.ts';
import { toMarkdown } from './bench/bench-report.ts';
import { writeResults } from './bench/bench-results.ts';

const clipSeconds = 60;

const folder = await mkdtemp(join(tmpdir(), 'lipsync-bench-'));
try {
  const result = await benchPreview({ folder, clipSeconds, signal: AbortSignal.timeout(15 * 60_000) });
  console.log(toMarkdown(result));
  await writeResults('preview', result);
} finally {
  await rm(folder, { recursive: true, force: true });
}
