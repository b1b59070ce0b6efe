/**
 * `npm run bench [-- preview|wav2lip|syncnet|gpu]`: measures the local providers end to end and by stage on a
 * lengthened sample. `syncnet` (scoring against its networks alone) and `gpu` run only when named. `npm run bench --
 * compare REV` compares with another revision, `first-frame [REV]` the time until the first frame is drawn, `accept REV`
 * the jobs that the API accepts per second, `npm run bench -- quality` jobs without and with a measured quality,
 * `quality-clip` the quality of a clip with the tracking of its face alone, `queue` the queue with empty work and with 100 000 jobs in it, `together REV` several jobs at once with another revision.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchAccept } from './bench/bench-accept.ts';
import { benchClipQuality } from './bench/bench-clip-quality.ts';
import { benchFirstFrame } from './bench/bench-first-frame.ts';
import { benchQueue } from './bench/bench-queue.ts';
import type { BenchOptions } from './bench/bench-job.ts';
import { benchGpu } from './bench/bench-gpu.ts';
import { benchSyncNet, syncNetToMarkdown } from './bench/bench-syncnet.ts';
import { benchTogether } from './bench/bench-together.ts';
import { benchPreview } from './bench/bench-preview.ts';
import { gpuToMarkdown, toMarkdown } from './bench/bench-report.ts';
import { writeResults } from './bench/bench-results.ts';
import { compareRevisions, compareScoring } from './bench/compare.ts';
import { benchWav2Lip } from './bench/bench-wav2lip.ts';

const clipSeconds = 60;
const benches: Readonly<
  Record<string, (options: BenchOptions) => Promise<{ readonly result: object; readonly markdown: string }>>
> = {
  preview: async (options) => reportOf(await benchPreview(options), toMarkdown),
  wav2lip: async (options) => reportOf(await benchWav2Lip(options), toMarkdown),
  syncnet: async (options) => reportOf(await benchSyncNet(options), syncNetToMarkdown),
  gpu: async (options) => reportOf(await benchGpu(options), gpuToMarkdown),
};

/** These run only when they are named. */
const named: ReadonlySet<string> = new Set(['gpu', 'syncnet']);

const [selected, ...rest] = process.argv.slice(2);
const names = [
  ...Object.keys(benches),
  'compare REV',
  'first-frame [REV]',
  'accept REV',
  'together REV',
  'quality',
  'quality-clip',
  'queue',
];
if (selected === 'compare') await compareRevisions(rest);
else if (selected === 'first-frame') await benchFirstFrame(rest);
else if (selected === 'accept') await benchAccept(rest);
else if (selected === 'together') await benchTogether(rest);
else if (selected === 'queue') await benchQueue(rest);
else if (selected === 'quality') await compareScoring(rest);
else if (selected === 'quality-clip') await benchClipQuality(rest);
else if (selected === undefined || Object.hasOwn(benches, selected)) await measure(selected);
else refuse(`Unknown measurement "${selected}". Available: ${names.join(', ')}.`);

function refuse(reason: string): void {
  console.error(reason);
  process.exitCode = 2;
}

async function measure(selected: string | undefined): Promise<void> {
  for (const [name, bench] of Object.entries(benches)) {
    if (selected === undefined ? named.has(name) : selected !== name) continue;
    const folder = await mkdtemp(join(tmpdir(), 'lipsync-bench-'));
    try {
      const { result, markdown } = await bench({ folder, clipSeconds, signal: AbortSignal.timeout(15 * 60_000) });
      console.log(`${markdown}\n`);
      await writeResults(name, result);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

function reportOf<Result extends object>(
  result: Result,
  toText: (result: Result) => string,
): { readonly result: Result; readonly markdown: string } {
  return { result, markdown: toText(result) };
}
