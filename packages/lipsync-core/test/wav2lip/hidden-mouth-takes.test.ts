import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openFrames, probeClip, probeSpeech, planTimeline, type TakeReport } from '../../src/media/index.ts';
import { RenderResources } from '../../src/processes/render-task.ts';
import { previewTask } from '../../src/providers/preview/preview-task.ts';
import { Wav2LipHarness } from '../../src/testing/wav2lip-harness.ts';
import { writeSeededWav2Lip } from '../../src/testing/wav2lip-models.ts';
import { limits, makeMedia, x264 } from '../media/make-media.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const longestMs = 180_000;
/** Frames in which a microphone stands in front of the mouth. */
const covered = { start: 30, end: 60 } as const;
const clipFrames = 90;
/** Rectangle around the mouth, pixels. */
const mouth = { left: 290, top: 180, right: 352, bottom: 234 } as const;

let folder: string;
let harness: Wav2LipHarness;
let clipPath: string;
let speechPath: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-hidden-'));
  harness = new Wav2LipHarness(folder);
  const graph = `[0]fps=25,scale=640:-2[p];testsrc2=s=46x120:r=25[m];[p][m]overlay=x=292:y=198:shortest=1:enable='between(n,${covered.start},${covered.end - 1})'`;
  const input = ['-t', '3.6', '-i', join(samples, 'presenter.mp4')];
  clipPath = await makeMedia(
    ...input,
    '-filter_complex',
    graph,
    ...x264,
    '-crf',
    '16',
    '-an',
    join(folder, 'clip.mp4'),
  );
  speechPath = await makeMedia('-t', '3.6', '-i', join(samples, 'speech.wav'), join(folder, 'speech.wav'));
});

afterAll(async () => {
  await harness.close();
  await rm(folder, { recursive: true, force: true });
});

interface Take {
  readonly takePath: string;
  readonly report: TakeReport;
}

/** Uses the mouth curve that the other take has written. */
async function makePreviewTake(mouthCurvePath: string): Promise<Take> {
  const [clip, speech] = [await probeClip(clipPath, { limits }), await probeSpeech(speechPath, { limits })];
  const takePath = join(folder, 'preview.mp4');
  const report = await previewTask(
    {
      clipPath,
      clipDigest: 'hidden mouth',
      clip,
      speechPath,
      speech,
      timeline: planTimeline(clip, speech.durationMs, { syncMode: 'cut_off' }),
      mouthCurvePath,
      silenceMode: 'generate',
      trackCacheFolder: join(folder, 'tracks'),
      workFolder: folder,
      takePath,
    },
    { signal: AbortSignal.timeout(longestMs), resources: new RenderResources(), onProgress: () => undefined },
  );
  return { takePath, report };
}

/** Mean absolute luma difference between clip and take around the mouth, per frame. */
async function differences(takePath: string): Promise<readonly number[]> {
  const lumas = await Promise.all([clipPath, takePath].map(readMouths));
  return (lumas[0] ?? []).map((clipLuma, frame) => {
    const takeLuma = lumas[1]?.[frame] ?? new Uint8Array();
    return clipLuma.reduce((sum, value, index) => sum + Math.abs(value - (takeLuma[index] ?? 0)), 0) / clipLuma.length;
  });
}

async function readMouths(path: string): Promise<readonly Uint8Array[]> {
  const facts = await probeClip(path, { limits });
  const mouths: Uint8Array[] = [];
  for await (const { data, width } of openFrames({ path, facts, range: { start: 0, end: clipFrames } })) {
    const rows = Array.from({ length: mouth.bottom - mouth.top }, (_, row) => {
      const start = (mouth.top + row) * width;
      return data.subarray(start + mouth.left, start + mouth.right);
    });
    mouths.push(new Uint8Array(Buffer.concat(rows)));
  }
  return mouths;
}

async function seededModel(): Promise<string> {
  const modelPath = join(folder, 'seeded.onnx');
  await writeSeededWav2Lip(modelPath, { widthDivisor: 16, seed: 7 });
  return modelPath;
}

it(
  'A microphone in front of the mouth is not redrawn by either local provider, and the times are reported.',
  async () => {
    const redrawn = await harness.makeTake({
      name: 'wav2lip',
      clipPath,
      speechPath,
      modelPath: await seededModel(),
    });
    for (const { takePath, report } of [redrawn, await makePreviewTake(redrawn.mouthCurvePath)]) {
      const changes = await differences(takePath);
      expect(Math.max(...changes.slice(covered.start, covered.end))).toBeLessThan(3);
      expect(Math.max(...changes.slice(0, covered.start - 6))).toBeGreaterThan(6);
      expect(Math.max(...changes.slice(covered.end + 6))).toBeGreaterThan(6);
      expect(report.warnings.map(({ code, message }) => `${code}: ${message}`)).toContainEqual(
        expect.stringMatching(/^mouth_covered: .* 1\.(16|20|24)–2\.(36|40|44) s of the clip\.$/),
      );
    }
  },
  longestMs,
);
