import { access } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';

/** What the runtime loads for CUDA; its packages come without it. */
const cudaLibrary = 'libonnxruntime_providers_cuda.so';

/** Where the installed runtime has its libraries; null where there is no runtime. */
export function runtimeLibraryFolder(): string | null {
  const description = findPackageJSON('onnxruntime-node', import.meta.url);
  return description === undefined
    ? null
    : join(dirname(description), 'bin', 'napi-v6', process.platform, process.arch);
}

/** Whether the runtime's own part of CUDA lies in `folder`. Whether GPU, driver and NVIDIA's libraries are there only a session tells. */
export async function hasCudaLibrary(folder: string | null): Promise<boolean> {
  if (folder === null) return false;
  return access(join(folder, cudaLibrary)).then(
    () => true,
    () => false,
  );
}
