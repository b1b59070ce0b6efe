import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { encodeOnnxModel } from './onnx-writer.ts';
import { hasCudaLibrary, loadSession, runtimeLibraryFolder, saturatesEightBitProducts } from './onnx-session.ts';

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

it.each([true, false])(
  'A session reports its inputs and outputs and runs the model (spinning: %s).',
  async (spinning) => {
    const session = await loadSession(relu, { threads: 2, device: { kind: 'cpu' }, spinning });
    expect(session.inputs).toEqual([{ name: 'x', elementType: 'float32', dims: [2, 3] }]);
    expect(session.outputs).toEqual([{ name: 'y', elementType: 'float32', dims: [2, 3] }]);
    const { y } = await session.run({
      x: { type: 'float32', dims: [2, 3], data: Float32Array.of(-1, 0, 1, -2, 2, -3) },
    });
    expect(y?.data).toEqual(Float32Array.of(0, 0, 1, 0, 2, 0));
    await session.release();
  },
);

it.skipIf(!hasVnni())('A processor with VNNI computes eight-bit products exactly.', async () => {
  expect(await saturatesEightBitProducts()).toBe(false);
});

function hasVnni(): boolean {
  return process.platform === 'linux' && /_vnni\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));
}

it('A session is loaded from a file.', async () => {
  const folder = await folderFor(relu);
  const session = await loadSession(join(folder, 'model.onnx'), { threads: 1 });
  expect(session.inputNames).toEqual(['x']);
  await session.release();
});

it('A missing file throws model_missing; an invalid file or a folder throws model_invalid.', async () => {
  const folder = await folderFor(relu.subarray(0, 20));
  await expect(loadSession(join(folder, 'other.onnx'), { threads: 1 })).rejects.toMatchObject({
    code: 'model_missing',
  });
  await expect(loadSession(join(folder, 'model.onnx'), { threads: 1 })).rejects.toMatchObject({
    code: 'model_invalid',
  });
  await expect(loadSession(folder, { threads: 1 })).rejects.toMatchObject({ code: 'model_invalid' });
});

it('A model that does not load on a GPU throws not_supported.', async () => {
  await expect(loadSession(relu, { threads: 1, device: { kind: 'cuda', index: 99 } })).rejects.toMatchObject({
    code: 'not_supported',
  });
});

it('The library folder is that of the installed ONNX runtime.', async () => {
  const names = await readdir(runtimeLibraryFolder() ?? '');
  expect(names.filter((name) => name.startsWith('libonnxruntime'))).not.toEqual([]);
  expect(await hasCudaLibrary(runtimeLibraryFolder())).toBe(names.includes('libonnxruntime_providers_cuda.so'));
});

it('CUDA is detected by its library file.', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-cuda-'));
  try {
    expect(await hasCudaLibrary(folder)).toBe(false);
    await writeFile(join(folder, 'libonnxruntime_providers_cuda.so'), '');
    expect(await hasCudaLibrary(folder)).toBe(true);
    expect(await hasCudaLibrary(null)).toBe(false);
  } finally {
    await rm(folder, { recursive: true });
  }
});
