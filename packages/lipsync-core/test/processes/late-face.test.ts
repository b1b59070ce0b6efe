import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planTimeline, probeClip, probeSpeech, type TakeReport } from '../../src/media/index.ts';
import { analyzeSpeechTask } from '../../src/audio/analyze-speech-task.ts';
import { RenderResources, type RenderTaskContext } from '../../src/processes/render-task.ts';
import { previewTask } from '../../src/providers/preview/preview-task.ts';
import { limits, makeMedia, makeSpeech, x264 } from '../media/make-media.ts';

const presenter = fileURLToPath(new URL('../../../../samples/presenter.mp4', import.meta.url));
const emptyFrames = 260;

let folder: string;
let clipPath: string;

/** All tests share one clip and one track cache, because face tracking takes longest. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-render-'));
  const late = `scale=480:-2,fps=25,tpad=start=${emptyFrames}:color=gray,trim=end_frame=${emptyFrames + 40}`;
  clipPath = await makeMedia('-t', '3', '-i', presenter, '-vf', late, ...x264, '-an', join(folder, 'late.mp4'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function previewOfLateFace(speechSeconds: number): Promise<TakeReport> {
  const speechPath = await makeSpeech(join(folder, 'speech.wav'), speechSeconds);
  const [clip, speech] = [await probeClip(clipPath, { limits }), await probeSpeech(speechPath, { limits })];
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'cut_off' });
  const context: RenderTaskContext = {
    signal: AbortSignal.timeout(60_000),
    resources: new RenderResources(),
    onProgress: () => undefined,
  };
  const mouthCurvePath = join(folder, 'mouth-curve');
  await analyzeSpeechTask({ speechPath, speech, timeline, mouthCurvePath }, context);
  const input = {
    clipPath,
    clipDigest: 'late face',
    clip,
    speechPath,
    speech,
    timeline,
    mouthCurvePath,
    silenceMode: 'close' as const,
    trackCacheFolder: join(folder, 'tracks'),
    workFolder: folder,
    takePath: join(folder, 'take.mp4'),
  };
  return previewTask(input, context);
}

describe('previewTask on a clip whose face appears after ten seconds', () => {
  it('The mouth reference is measured where the face appears.', { timeout: 60_000 }, async () => {
    const { warnings, stages } = await previewOfLateFace(12);
    expect(warnings.map(({ code }) => code)).toEqual(['frames_without_face']);
    expect(warnings[0]?.message).toMatch(/^26\d frames .* 0\.00–10\.4\d s of the clip/);
    expect(stages.find(({ stage }) => stage === 'learning')?.frames).toBeGreaterThanOrEqual(30);
  });

  it('Speech audio that ends before the face appears throws clip_unusable.', { timeout: 60_000 }, async () => {
    await expect(previewOfLateFace(4)).rejects.toMatchObject({ code: 'clip_unusable' });
  });
});
