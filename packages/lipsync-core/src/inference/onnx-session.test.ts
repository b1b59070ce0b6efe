import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { encodeOnnxModel } from './onnx-writer.ts';
import { loadSession } from './onnx-session.ts';

const relu = encodeOnnxModel({
  name: 'relu',
  inputs: [{ name: 'x', dims: [2, 3] }],
  outputs: [{ name: 'y' }],
  constants: [],
  nodes: [{ operator: 'Relu', inputs: ['x'], output: 'y' }],
});

async function folderFor(bytes: Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-session-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'model.onnx'), bytes);
  return folder;
}

it.each([true, false])('says what the model takes and gives, and runs it (spinning %s)', async (spinning) => {
  const session = await loadSession(relu, { threads: 2, device: { kind: 'cpu' }, spinning });
  expect(session.inputs).toEqual([{ name: 'x', elementType: 'float32', dims: [2, 3] }]);
  expect(session.outputs).toEqual([{ name: 'y', elementType: 'float32', dims: [2, 3] }]);
  const { y } = await session.run({ x: { type: 'float32', dims: [2, 3], data: Float32Array.of(-1, 0, 1, -2, 2, -3) } });
  expect(y?.data).toEqual(Float32Array.of(0, 0, 1, 0, 2, 0));
  await session.release();
});

it('loads a model from its file', async () => {
  const folder = await folderFor(relu);
  const session = await loadSession(join(folder, 'model.onnx'), { threads: 1 });
  expect(session.inputNames).toEqual(['x']);
  await session.release();
});

it('tells a file that is missing from one that is no model', async () => {
  const folder = await folderFor(relu.subarray(0, 20));
  await expect(loadSession(join(folder, 'other.onnx'), { threads: 1 })).rejects.toMatchObject({
    code: 'model_missing',
  });
  await expect(loadSession(join(folder, 'model.onnx'), { threads: 1 })).rejects.toMatchObject({
    code: 'model_invalid',
  });
  await expect(loadSession(folder, { threads: 1 })).rejects.toMatchObject({ code: 'model_invalid' });
});

it('does not blame the model where a device refuses it', async () => {
  await expect(loadSession(relu, { threads: 1, device: { kind: 'cuda', index: 99 } })).rejects.toMatchObject({
    code: 'not_supported',
  });
});
