import { describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import type { ClipFacts } from '../../src/media/index.ts';
import type { RenderPool } from '../../src/processes/render-pool.ts';
import type { QualityRange } from '../../src/contract/quality.ts';
import { TakeCheck } from '../../src/quality/unchanged-lips/take-check.ts';
import { limits } from '../media/make-media.ts';

const clip: ClipFacts = {
  kind: 'video',
  width: 64,
  height: 64,
  frameRate: { numerator: 25, denominator: 1 },
  frameCount: 25,
  durationMs: 1_000,
  hasSound: false,
  rotationDegrees: 0,
  variableFrameRate: false,
  codec: 'h264',
  pixelFormat: 'yuv420p',
  color: {},
  hdr: false,
};
const take = {
  takePath: 'take.mp4',
  clipPath: 'clip.mp4',
  clip,
  speechPath: 'speech.wav',
  mouthCurvePath: 'curve',
  timeline: {
    frameRate: clip.frameRate,
    frameCount: 25,
    durationMs: 1_000,
    syncMode: 'loop',
    windowStart: 0,
    windowLength: 25,
  },
} as const;

/** Runs the check with a render process that answers with `result`. */
function check(result: () => Promise<readonly QualityRange[]>, signal = new AbortController().signal) {
  const renderPool = { run: result, warm: () => undefined, close: async () => undefined };
  // `as`: the check runs one task only.
  return new TakeCheck({ renderPool: renderPool as RenderPool, limits }).run(take, {
    signal,
    onProgress: () => undefined,
  });
}

describe('The check of a vendor take', () => {
  it('The warning lips_unchanged lists the time ranges of the output.', async () => {
    const ranges = [
      { startMs: 0, endMs: 2_480 },
      { startMs: 5_000, endMs: 7_040 },
    ];
    expect(await check(async () => ranges)).toEqual([
      { code: 'lips_unchanged', message: expect.stringContaining('at 0.00–2.48 s, 5.00–7.04 s of the output') },
    ]);
  });

  it('A take whose lips follow the speech has no warning.', async () => {
    expect(await check(async () => [])).toEqual([]);
  });

  it('A check that fails leaves a warning and does not fail the job.', async () => {
    const failure = new LipsyncError('media_failed', 'The render process was lost.');
    expect(await check(() => Promise.reject(failure))).toEqual([
      { code: 'take_not_checked', message: 'The take was not checked. The render process was lost.' },
    ]);
  });
});
