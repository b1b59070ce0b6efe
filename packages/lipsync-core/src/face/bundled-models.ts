import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { LipsyncError } from '../errors/index.ts';
import { graphModelToOnnx } from '../inference/graph-model-to-onnx.ts';
import { readGraphModel } from '../inference/graph-model.ts';
import { loadSession, type OnnxSession } from '../inference/onnx-session.ts';

/** Models that come inside the face library's package. */
export type BundledModel = 'blazeface' | 'facemesh';

/**
 * Loads a model out of the installed `@vladmandic/human` package onto one thread of the CPU. The caller releases it.
 * Throws `model_missing` when the package is not there and `model_invalid` when its files are damaged.
 */
export async function loadBundledModel(name: BundledModel): Promise<OnnxSession> {
  const [topology, weights] = await readModelFiles(name);
  return loadSession(graphModelToOnnx(readGraphModel(topology.toString('utf8'), weights)), { threads: 1 });
}

async function readModelFiles(name: BundledModel): Promise<[Buffer, Buffer]> {
  try {
    // The package exports its entry but not its models, which lie beside the entry's folder.
    const entry = createRequire(import.meta.url).resolve('@vladmandic/human');
    const folder = join(dirname(entry), '..', 'models');
    return await Promise.all([readFile(join(folder, `${name}.json`)), readFile(join(folder, `${name}.bin`))]);
  } catch (cause) {
    throw new LipsyncError(
      'model_missing',
      'The face models are missing from the installed packages. Install the dependencies again.',
      { cause },
    );
  }
}
