import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { loadSession } from '../../src/inference/onnx-session.ts';
import { compareDrawings } from '../../src/providers/wav2lip/engine/compare-drawings.ts';
import { createFaceModel, type FaceModel } from '../../src/providers/wav2lip/engine/face-model.ts';
import { describeWav2LipModel } from '../../src/providers/wav2lip/model/model-facts.ts';
import { writeIdentityModel, writeMeterModel } from '../../src/testing/instructive-models.ts';
import { writeSeededWav2Lip } from '../../src/testing/wav2lip-models.ts';
import { temporaryFolder } from './engine-fixture.ts';

async function open(write: (path: string) => Promise<unknown>): Promise<FaceModel> {
  const path = join(await temporaryFolder(), 'model.onnx');
  await write(path);
  const session = await loadSession(path, { threads: 1 });
  onTestFinished(() => session.release());
  return createFaceModel(session, describeWav2LipModel(session));
}

it('a device that draws what the CPU draws, up to rounding in half precision, is not refused', async () => {
  const single = await open((path) => writeSeededWav2Lip(path, { widthDivisor: 16, seed: 1 }));
  const half = await open((path) => writeSeededWav2Lip(path, { widthDivisor: 16, seed: 1, float16: true }));
  await expect(compareDrawings(single, single)).resolves.toBeUndefined();
  await expect(compareDrawings(half, single)).resolves.toBeUndefined();
});

it('a device that draws something else is refused, so that the next one is tried', async () => {
  const wrong = await open((path) => writeMeterModel(path, { cropSizePx: 96 }));
  const right = await open((path) => writeIdentityModel(path, { cropSizePx: 96 }));
  await expect(compareDrawings(wrong, right)).rejects.toMatchObject({ code: 'not_supported', message: expect.stringContaining('draws other faces than the CPU') });
  // Of the same network with other weights.
  const seeds = await Promise.all([1, 2].map((seed) => open((path) => writeSeededWav2Lip(path, { widthDivisor: 16, seed }))));
  await expect(compareDrawings(seeds[0] ?? wrong, seeds[1] ?? wrong)).rejects.toMatchObject({ code: 'not_supported' });
});
