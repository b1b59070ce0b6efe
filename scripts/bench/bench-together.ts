/**
 * `npm run bench -- together REV [--jobs 8] [--seconds 3] [--pairs 1]`: sends several `wav2lip` jobs at once to the
 * service of a revision and of the working tree, in turn, and compares the time until all have ended. The longest wait of
 * a job is compared with the time of the other jobs alone.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LipsyncClient, type JobView } from '@lipsync/client';
import { checkOut } from '../lib/check-out.ts';
import { createJob, type InputPaths } from '../lib/create-job.ts';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import { writeModelOf, type Revision } from '../lib/revision-model.ts';
import { RevisionStack } from '../soak/revision-stack.ts';
import { freeLoopbackPort } from '../stack/private-redis.ts';

const projectDir = join(import.meta.dirname, '..', '..');
const timeLimitMs = 60 * 60_000;

interface Side extends Revision {
  readonly modelPath: string;
}

interface Figures {
  /** One job on an idle service with a loaded model and a cached face track. */
  readonly aloneSeconds: number;
  /** From the first request to the end of the last job. */
  readonly allSeconds: number;
  readonly longestWaitSeconds: number;
  readonly completed: number;
}

/** Prints a table. Leaves no process and no file behind. */
export async function benchTogether(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      jobs: { type: 'string', default: '8' },
      seconds: { type: 'string', default: '3' },
      pairs: { type: 'string', default: '1' },
    },
  });
  const [revision] = positionals;
  if (revision === undefined) throw new Error('Name the revision to compare with: npm run bench -- together REV');
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-together-'));
  try {
    const signal = AbortSignal.timeout(timeLimitMs);
    const { clipPath, speechPath } = await lengthenSample(folder, Number(values.seconds), signal);
    const before = {
      revision,
      folder: await checkOut(revision, join(folder, 'checkout')),
      modelPath: join(folder, 'before.onnx'),
    };
    const after = { revision: 'working tree', folder: projectDir, modelPath: join(folder, 'after.onnx') };
    for (const side of [before, after]) await writeModelOf(side, side.modelPath);
    const jobs = Number(values.jobs);
    console.log(
      '| service | one job alone, s | all jobs, s | jobs per minute | longest wait, s | the others alone, s | completed |',
    );
    console.log('|---|---|---|---|---|---|---|');
    const ratios: number[] = [];
    for (let pair = 0; pair < Number(values.pairs); pair += 1) {
      const measured = new Map<Side, Figures>();
      for (const side of pair % 2 === 0 ? [before, after] : [after, before]) {
        const home = join(folder, `home-${pair}-${side === before ? 'before' : 'after'}`);
        const figures = await measure(side, {
          home,
          jobs,
          inputs: { videoPath: clipPath, audioPath: speechPath },
          signal,
        });
        console.log(toRow(side, figures, jobs));
        measured.set(side, figures);
      }
      ratios.push((measured.get(before)?.allSeconds ?? NaN) / (measured.get(after)?.allSeconds ?? NaN));
    }
    console.log(`\nThroughput, ratio to ${revision}: ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}.`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Measurement {
  /** Folder for data and outputs of the service. */
  readonly home: string;
  readonly jobs: number;
  readonly inputs: InputPaths;
  readonly signal: AbortSignal;
}

async function measure({ folder, modelPath }: Side, { home, jobs, inputs, signal }: Measurement): Promise<Figures> {
  const stack = new RevisionStack({
    projectDir: folder,
    port: await freeLoopbackPort(),
    environment: {
      LIPSYNC_DATA_DIR: join(home, 'data'),
      LIPSYNC_OUTPUT_DIR: join(home, 'outputs'),
      WAV2LIP_MODEL_PATH: modelPath,
      LIPSYNC_GPU_ENABLED: 'false',
      HEYGEN_API_KEY: '',
    },
  });
  try {
    await stack.ready();
    // The first job starts the engine and tracks the face.
    await runJobs(stack.url, { inputs, count: 1, signal });
    const [alone] = await runJobs(stack.url, { inputs, count: 1, signal });
    const startedMs = performance.now();
    const ended = await runJobs(stack.url, { inputs, count: jobs, signal });
    return {
      aloneSeconds: alone ? secondsBetween(alone.started_at, alone.completed_at) : NaN,
      allSeconds: (performance.now() - startedMs) / 1_000,
      longestWaitSeconds: Math.max(...ended.map(waitOf)),
      completed: ended.filter(({ status }) => status === 'completed').length,
    };
  } finally {
    await stack.stop();
  }
}

interface SameJobs {
  readonly inputs: InputPaths;
  readonly count: number;
  readonly signal: AbortSignal;
}

async function runJobs(url: string, { inputs, count, signal }: SameJobs): Promise<readonly JobView[]> {
  const client = new LipsyncClient({ baseUrl: url });
  return Promise.all(
    Array.from({ length: count }, async () => {
      const { id } = await createJob(client, inputs, { method: 'wav2lip', cache: false }, signal);
      return client.waitFor(id, { signal });
    }),
  );
}

/** Time from the acceptance of a job to the start of its attempt. */
function waitOf({ created_at, attempts }: JobView): number {
  return secondsBetween(created_at, attempts.at(-1)?.started_at ?? null);
}

function secondsBetween(from: string | null, to: string | null): number {
  return from === null || to === null ? NaN : (Date.parse(to) - Date.parse(from)) / 1_000;
}

function toRow({ revision }: Side, figures: Figures, jobs: number): string {
  const { aloneSeconds, allSeconds, longestWaitSeconds, completed } = figures;
  const cells = [aloneSeconds, allSeconds, (jobs * 60) / allSeconds, longestWaitSeconds, (jobs - 1) * aloneSeconds];
  return `| ${revision} | ${cells.map((cell) => cell.toFixed(1)).join(' | ')} | ${completed} of ${jobs} |`;
}
