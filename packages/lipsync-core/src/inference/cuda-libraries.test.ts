import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hasCudaLibrary, runtimeLibraryFolder } from './cuda-libraries.ts';

it('looks for CUDA where the installed runtime has its libraries', async () => {
  const names = await readdir(runtimeLibraryFolder() ?? '');
  expect(names.filter((name) => name.startsWith('libonnxruntime'))).not.toEqual([]);
  expect(await hasCudaLibrary(runtimeLibraryFolder())).toBe(names.includes('libonnxruntime_providers_cuda.so'));
});

it('finds CUDA once its library lies there', async () => {
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
