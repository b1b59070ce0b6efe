/**
 * `node measure-clip-quality.ts track|quality CLIP FOLDER`: tracks the face of a clip, or measures the quality of the
 * clip, with an empty FOLDER for caches. Prints the seconds as JSON: of tracking with its models but without probing, and
 * of the whole measurement.
 */
import { join } from 'node:path';
import { createFaceDetector } from '../../packages/lipsync-core/src/face/index.ts';
import { trackFaces } from '../../packages/lipsync-core/src/face/track-faces.ts';
import { getLipsyncService } from '../../packages/lipsync-core/src/index.ts';
import { probeClip } from '../../packages/lipsync-core/src/media/index.ts';

const [work, clipPath = '', folder = ''] = process.argv.slice(2);
const signal = AbortSignal.timeout(10 * 60_000);
const seconds = work === 'track' ? await track() : await measureQuality();
console.log(JSON.stringify({ seconds }));

async function track(): Promise<number> {
  const clip = await probeClip(clipPath, { limits: { maxDurationMs: 3_600_000, maxDimensionPx: 4096 }, signal });
  const startedMs = performance.now();
  const faces = await trackFaces({
    clipPath,
    clipDigest: 'bench',
    clip,
    range: { start: 0, end: clip.frameCount },
    detector: await createFaceDetector(),
    cacheDir: join(folder, 'tracks'),
    workDir: folder,
    signal,
  });
  const trackedS = (performance.now() - startedMs) / 1000;
  faces.close();
  return trackedS;
}

async function measureQuality(): Promise<number> {
  const startedMs = performance.now();
  const service = getLipsyncService();
  await service.checkLipsyncQuality(clipPath);
  const measuredS = (performance.now() - startedMs) / 1000;
  await service.close();
  return measuredS;
}
