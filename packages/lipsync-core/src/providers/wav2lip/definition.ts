import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { integer, text } from '../../contract/setting-types.ts';
import { LipsyncError } from '../../errors/index.ts';
import { ConfiguredModel, suitsDevice, type ConfiguredModelFacts } from '../../inference/models/configured-model.ts';
import { findModelFault } from '../../inference/models/model-fault.ts';
import { isOnnx } from '../../inference/models/model-record.ts';
import { hasCudaLibrary, runtimeLibraryFolder } from '../../inference/onnx-session.ts';
import { defineProvider, type DoctorCheck, type ProviderFindings } from '../definition.ts';
import { EnginePool } from './engine/engine-pool.ts';
import { noteLastDevice, readLastDevice } from './last-device.ts';
import { defaultWindowStartMs } from './mel-chunks.ts';
import { wav2lipKind } from './model/network-kind.ts';
import { createWav2LipProvider, wav2lipFacts } from './wav2lip-provider.ts';

/** How long an engine without work keeps its process. */
const engineIdleMs = 5 * 60_000;

/** The Wav2Lip engine of this machine. */
export const wav2lipDefinition = defineProvider({
  id: 'wav2lip',
  kind: 'inline',
  facts: wav2lipFacts,
  license: 'research and personal use only',
  options: { schema: z.strictObject({}), flags: {} },
  settings: {
    WAV2LIP_MODEL_PATH: text(''),
    WAV2LIP_WINDOW_START_MS: integer(defaultWindowStartMs, { minimum: -1000, maximum: 1000 }),
  },
  networks: [wav2lipKind],
  throughput: () => ({ key: 'wav2lip', fixedMs: 2_000, perSecondMs: 2_400 }),
  configure(values, { gpuEnabled, cudaVisibleDevices, cacheFolder, resolvePath }) {
    const modelPath = values.WAV2LIP_MODEL_PATH === '' ? null : resolvePath(values.WAV2LIP_MODEL_PATH);
    const model = new ConfiguredModel(modelPath, wav2lipKind);
    return {
      missingSetting: modelPath === null ? 'WAV2LIP_MODEL_PATH' : null,
      remote: null,
      takeSettings: `window ${values.WAV2LIP_WINDOW_START_MS}`,
      modelFile: { setting: 'WAV2LIP_MODEL_PATH', path: modelPath },
      inspect: async ({ state }) => inspectModel(model, modelPath, gpuEnabled ? await readLastDevice(state) : 'cpu'),
      diagnose: () => diagnose(modelPath, model, gpuEnabled),
      create({ renderPool, state, onDevice }) {
        if (modelPath === null) throw new LipsyncError('internal', 'WAV2LIP_MODEL_PATH is not set.');
        const enginePool = new EnginePool({ idleMs: engineIdleMs, gpuEnabled, cudaVisibleDevices });
        const provider = createWav2LipProvider({
          renderPool,
          enginePool,
          modelPath,
          windowStartMs: values.WAV2LIP_WINDOW_START_MS,
          modelCacheFolder: join(cacheFolder, 'models'),
          trackCacheFolder: join(cacheFolder, 'tracks'),
          readPrecision: async () => precisionOf(await model.inspect(), modelPath),
          onDevice(device) {
            onDevice?.('wav2lip', device);
            // Only `inspect` reads it, so a take does not fail with it.
            noteLastDevice(state, device).catch(() => undefined);
          },
        });
        return { ...provider, close: () => enginePool.close() };
      },
    };
  },
});

async function inspectModel(
  model: ConfiguredModel,
  modelPath: string | null,
  device: string | null,
): Promise<Partial<ProviderFindings>> {
  const facts = await model.inspect();
  return {
    device,
    licence: facts.license,
    modelPrecision: precisionOf(facts, modelPath),
    modelSuitsDevice: suitsDevice(facts, device),
  };
}

/** A checkpoint is imported in float32 by the engine; null for a model without a record. */
function precisionOf({ elementType }: ConfiguredModelFacts, modelPath: string | null): string | null {
  return modelPath === null || isOnnx(modelPath) ? elementType : 'float32';
}

async function diagnose(modelPath: string | null, model: ConfiguredModel, gpuEnabled: boolean): Promise<DoctorCheck> {
  const name = 'wav2lip';
  if (modelPath === null) {
    const advice =
      'Set WAV2LIP_MODEL_PATH to an .onnx model or an official .pth checkpoint; models list names the sources.';
    return { name, state: 'optional', detail: 'not configured', advice };
  }
  try {
    await access(modelPath, constants.R_OK);
  } catch {
    const advice = 'Correct WAV2LIP_MODEL_PATH, or make the file readable.';
    return { name, state: 'missing', detail: `${modelPath} cannot be read`, advice };
  }
  const fault = await findModelFault(modelPath);
  if (fault !== null) {
    const advice = 'Fetch or import the model again, or correct WAV2LIP_MODEL_PATH.';
    return { name, state: 'missing', detail: `${modelPath} cannot be used: ${fault}`, advice };
  }
  const facts = await model.inspect();
  const hasCuda = await hasCudaLibrary(runtimeLibraryFolder());
  const next = isOnnx(modelPath)
    ? 'npm run lipsync -- models verify tests it'
    : 'the first job imports it, npm run lipsync -- models import does so now';
  return {
    name,
    state: 'ok',
    detail: `${modelPath}, ${precisionOf(facts, modelPath) ?? 'unknown precision'}, device: ${devicesToTry(gpuEnabled, hasCuda)}; ${next}`,
    advice: formAdvice(facts, { gpuEnabled, hasCuda }),
  };
}

function devicesToTry(gpuEnabled: boolean, hasCuda: boolean): string {
  if (!gpuEnabled) return 'CPU only';
  return hasCuda
    ? 'CUDA, else WebGPU, else CPU'
    : 'WebGPU, else CPU (CUDA is not installed; docs/gpus.md explains how)';
}

/**
 * Compares the form of the model with the devices that may run it; the device itself is known only after a job. Pure.
 */
export function formAdvice(
  { form }: Pick<ConfiguredModelFacts, 'form'>,
  { gpuEnabled, hasCuda }: { readonly gpuEnabled: boolean; readonly hasCuda: boolean },
): string {
  if (form === 'plain' && !gpuEnabled)
    return 'The model is built for a GPU, and LIPSYNC_GPU_ENABLED is false. Import its checkpoint again with --for cpu.';
  if (form !== null && form !== 'plain' && gpuEnabled && hasCuda)
    return 'The model is built for a CPU. Import its checkpoint again with --for gpu if a GPU runs it.';
  return '';
}
