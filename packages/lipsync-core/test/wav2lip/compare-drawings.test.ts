import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { loadSession } from '../../src/inference/onnx-session.ts';
import { FaceModel } from '../../src/providers/wav2lip/engine/face-model.ts';
import { drawComparedFaces, requireSameDrawing } from '../../src/providers/wav2lip/engine/prepare-model.ts';
import { describeWav2LipModel } from '../../src/providers/wav2lip/model/model-facts.ts';
import { writeIdentityModel, writeMeterModel, writeSeededWav2Lip } from '../../src/testing/wav2lip-models.ts';
import { temporaryFolder } from './engine-fixture.ts';

/** The model's output for the face of the device check. */
async function drawnBy(write: (path: string) => Promise<unknown>): Promise<Uint8Array> {
  const path = join(await temporaryFolder(), 'model.onnx');
  await write(path);
  const session = await loadSession(path, { threads: 1 });
  onTestFinished(() => session.release());
  return drawComparedFaces(new FaceModel(session, describeWav2LipModel(session)));
}

it('A device whose output equals that of the CPU up to float16 rounding is accepted.', async () => {
  const single = await drawnBy((path) => writeSeededWav2Lip(path, { widthDivisor: 16, seed: 1, plain: true }));
  const half = await drawnBy((path) => writeSeededWav2Lip(path, { widthDivisor: 16, seed: 1, float16: true }));
  expect(() => requireSameDrawing(half, single)).not.toThrow();
});

it('A device whose output differs from that of the CPU is rejected.', async () => {
  const [one, other] = await Promise.all(
    [1, 2].map((seed) => drawnBy((path) => writeSeededWav2Lip(path, { widthDivisor: 16, seed }))),
  );
  const identity = await drawnBy((path) => writeIdentityModel(path, { cropSizePx: 96 }));
  const meter = await drawnBy((path) => writeMeterModel(path, { cropSizePx: 96 }));
  for (const [drawn, expected] of [
    [one, other],
    [identity, meter],
  ] as const) {
    expect(() => requireSameDrawing(drawn ?? identity, expected ?? identity)).toThrow(/differs from that of the CPU/);
  }
});

it('A device that draws another face from a start row on is rejected.', async () => {
  const expected = await drawnBy((path) => writeSeededWav2Lip(path, { widthDivisor: 16, seed: 1 }));
  const faceBytes = 96 * 96 * 3;
  expect(expected).toHaveLength(2 * faceBytes);
  const drawn = expected.map((level, index) => (index < faceBytes ? level : 255 - level));
  expect(() => requireSameDrawing(drawn, expected)).toThrow(/differs from that of the CPU/);
});
