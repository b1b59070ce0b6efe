import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHeygenStandin, type HeygenStandin } from '@lipsync/heygen-standin';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configFromEnvironment } from '../../src/config.ts';
import { getLipsyncService, type GenerateLipsyncContext, type LipsyncService } from '../../src/index.ts';
import { makeShortSample } from './short-sample.ts';

let folder: string;
let sample: { readonly videoPath: string; readonly audioPath: string };
let service: LipsyncService;
let standin: HeygenStandin | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-close-'));
  const { clipPath, speechPath } = await makeShortSample(folder);
  sample = { videoPath: clipPath, audioPath: speechPath };
});
afterEach(async () => {
  await service.close();
  await standin?.close();
  standin = undefined;
  await rm(folder, { recursive: true, force: true });
});

/** Without scores and marks, which take longer than the takes. */
const unmarked = { LIPSYNC_QUALITY: 'off', LIPSYNC_MARKING: 'off' };

function openService(environment: Record<string, string> = {}): LipsyncService {
  const config = configFromEnvironment({ ...unmarked, ...environment });
  service = getLipsyncService({ ...config, dataDir: join(folder, 'data') });
  return service;
}

interface StartedJob {
  /** Resolves when the job reports the stage. */
  readonly reached: Promise<void>;
  readonly outcome: Promise<string>;
  /** The stages so far, in order. */
  readonly stages: readonly string[];
}

function startJob(name: string, awaitedStage: string): StartedJob {
  const stages: string[] = [];
  const reached = Promise.withResolvers<void>();
  const context: GenerateLipsyncContext = {
    onProgress({ stage }) {
      if (stages.at(-1) !== stage) stages.push(stage);
      if (stage === awaitedStage) reached.resolve();
    },
  };
  const outcome = service
    .generateLipsync({ ...sample, outputPath: join(folder, `${name}.mp4`), overwrite: true }, context)
    .then(({ methodUsed }) => String(methodUsed))
    .catch((error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)));
  return { reached: reached.promise, outcome, stages };
}

describe('Closing a service', () => {
  it('Running jobs reject with canceled before close resolves, and they leave no file.', async () => {
    openService();
    const jobs = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => startJob(name, 'listening'));
    await Promise.race(jobs.map(({ reached }) => reached));
    const settled: string[] = [];
    for (const { outcome } of jobs) void outcome.then((code) => settled.push(code));
    await Promise.all([service.close(), service.close()]);
    expect(settled).toEqual(Array.from({ length: 6 }, () => 'canceled'));
    expect((await readdir(folder)).filter((name) => !/^(?:clip\.mp4|speech\.wav|data)$/.test(name))).toEqual([]);
    expect(await readdir(join(folder, 'data', 'work'))).toEqual([]);
  });

  it('A closed service refuses work with the way to a new one.', async () => {
    openService();
    await service.close();
    const refusal = { code: 'canceled', message: expect.stringContaining('getLipsyncService() again') };
    await expect(service.generateLipsync({ ...sample, outputPath: join(folder, 'x.mp4') })).rejects.toMatchObject(
      refusal,
    );
    await expect(service.estimateCost(sample)).rejects.toMatchObject(refusal);
  });

  it.each(['listening', 'uploading', 'waiting'])(
    'A job that is closed in the stage %s stops its remote work, and a new service completes the same job at once.',
    async (stage) => {
      standin = await startHeygenStandin({ apiKey: 'key' });
      standin.control.changeSettings({ pace: { by: 'clock', pendingMs: 60_000, runningMs: 1 } });
      const environment = {
        HEYGEN_API_KEY: standin.apiKey,
        HEYGEN_API_ENDPOINT: standin.url,
        LIPSYNC_ALLOWED_PRIVATE_HOSTS: '127.0.0.0/8',
        HEYGEN_POLL_INTERVAL_MS: '100',
      };
      openService(environment);
      const first = startJob('x', stage);
      await first.reached;
      await service.close();
      expect(await first.outcome).toBe('canceled');
      standin.control.changeSettings({ pace: { by: 'reads', pendingReads: 0, runningReads: 0 } });
      openService(environment);
      const second = startJob('x', 'listening');
      expect(await second.outcome).toBe('heygen');
      // It waits for the operation, but never for the slot of the first job.
      expect(second.stages.slice(0, second.stages.indexOf('uploading'))).not.toContain('waiting');
      expect(standin.control.wallet().charges).toHaveLength(1);
    },
  );
});

it('A service keeps its data folder to its user, and the output follows the umask of the program.', async () => {
  await mkdir(join(folder, 'data'), { mode: 0o755 });
  // The mark is written to a file of its own, which becomes the output.
  openService({ LIPSYNC_MARKING: 'on' });
  const outputPath = join(folder, 'x.mp4');
  await service.generateLipsync({ ...sample, outputPath });
  const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
  await writeFile(join(folder, 'plain'), '');
  expect(await modeOf(join(folder, 'data'))).toBe(0o700);
  expect(await modeOf(outputPath)).toBe(await modeOf(join(folder, 'plain')));
});

describe('A listener of progress', () => {
  it.each([
    [
      'throws',
      () => {
        throw new Error('of the caller');
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('of the caller');
      },
    ],
    [
      'throws something without a text',
      () => {
        throw Object.create(null);
      },
    ],
  ])('A listener that %s does not end the job, and the process is warned once.', async (_, onProgress) => {
    const warnings: string[] = [];
    const rejections: unknown[] = [];
    const onWarning = ({ message }: Error): void => void warnings.push(message);
    const onRejection = (reason: unknown): void => void rejections.push(reason);
    process.on('warning', onWarning).on('unhandledRejection', onRejection);
    openService();
    await service.generateLipsync({ ...sample, outputPath: join(folder, 'x.mp4') }, { onProgress });
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.off('warning', onWarning).off('unhandledRejection', onRejection);
    expect(warnings.filter((message) => message.includes('onProgress'))).toEqual([
      expect.stringMatching(/^onProgress failed: (?:Error: of the caller|\[Object)/),
    ]);
    expect(rejections).toEqual([]);
  });
});
