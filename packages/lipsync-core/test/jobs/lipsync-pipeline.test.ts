import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import { LipsyncError, type ErrorCode } from '../../src/errors/index.ts';
import { createLipsyncPipeline, type LipsyncPipeline, type PipelineResult } from '../../src/jobs/lipsync-pipeline.ts';
import { openJobWorkspace } from '../../src/jobs/workspace.ts';
import { probeTake } from '../../src/media/index.ts';
import { createPreviewProvider } from '../../src/providers/preview/preview-provider.ts';
import { openAdmission } from '../../src/testing/index.ts';
import { createProviderRegistry } from '../../src/providers/provider-registry.ts';
import { createRenderPool, type RenderPool } from '../../src/render/render-pool.ts';
import { limits } from '../media/make-media.ts';
import { makeShortSample } from '../service/short-sample.ts';

let folder: string;
let clipPath: string;
let silencePath: string;
let pool: RenderPool;
/** Kinds of the tasks that the pipeline asked for, in order. */
let asked: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-pipeline-'));
  ({ clipPath } = await makeShortSample(folder));
  silencePath = join(folder, 'silence.wav');
  await writeFile(silencePath, silentWav());
  pool = createRenderPool({ keepWarm: 1, idleMs: 60_000, cancelGraceMs: 1_000, silenceLimitMs: 30_000 });
});
afterAll(async () => {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
});

/** A second of digital silence: 16-bit mono at 16 kHz. */
function silentWav(): Buffer {
  const wav = Buffer.alloc(44 + 32_000);
  wav.write('RIFF', 0);
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write('WAVEfmt ', 8);
  for (const [value, offset] of [[16, 16], [16_000, 24], [32_000, 28], [32_000, 40]] as const) wav.writeUInt32LE(value, offset);
  for (const [value, offset] of [[1, 20], [1, 22], [2, 32], [16, 34]] as const) wav.writeUInt16LE(value, offset);
  wav.write('data', 36);
  return wav;
}

/** The real pipeline on the real pool, whose tasks of each kind fail with `code` as often as told before they work. */
function pipelineThatFails(code: ErrorCode, times: number): LipsyncPipeline {
  asked = [];
  const renderPool: RenderPool = {
    run(task, context) {
      asked.push(task.kind);
      const failed = asked.filter((kind) => kind === task.kind).length <= times;
      return failed ? Promise.reject(new LipsyncError(code, 'scripted')) : pool.run(task, context);
    },
    close: () => pool.close(),
  };
  const registry = createProviderRegistry([createPreviewProvider({ renderPool, trackCacheFolder: join(folder, 'tracks') })]);
  return createLipsyncPipeline({ registry, renderPool, limits, admission: openAdmission, clock: { nowMs: Date.now } });
}

async function run(pipeline: LipsyncPipeline): Promise<PipelineResult> {
  const workspace = await openJobWorkspace(folder, { id: 'job_1', runs: 1 });
  const outcome = await pipeline.run(
    {
      jobId: 'job_1', owner: null, options: lipsyncOptionsSchema.parse({}), workspace,
      fetchInputs: async () => ({ clipPath, speechPath: silencePath, clipDigest: 'a' }),
    },
    { signal: new AbortController().signal, earlierAttempts: [], canRun: () => true, onProgress: () => undefined, saveAttempts: async () => undefined },
  );
  if (outcome.kind !== 'made') throw new Error(`The job is not done but ${outcome.kind}.`);
  return outcome;
}

describe('a step of the pipeline outside of the providers', () => {
  it('is done again after a media fault', async () => {
    const { takePath, methodUsed } = await run(pipelineThatFails('media_failed', 1));
    expect(asked).toEqual(['analyse_speech', 'analyse_speech', 'pass_through', 'pass_through']);
    expect(methodUsed).toBeNull();
    expect((await probeTake(takePath)).frameCount).toBe(25);
  });

  it('is done twice at most', async () => {
    await expect(run(pipelineThatFails('media_failed', 2))).rejects.toMatchObject({ code: 'media_failed' });
    expect(asked).toEqual(['analyse_speech', 'analyse_speech']);
  });

  it('is not done again after any other fault', async () => {
    await expect(run(pipelineThatFails('speech_unusable', 1))).rejects.toMatchObject({ code: 'speech_unusable' });
    expect(asked).toEqual(['analyse_speech']);
  });
});
