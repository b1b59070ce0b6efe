import { LipsyncError, type ErrorCode } from '../../errors/index.ts';
import type { TakeReport } from '../../media/index.ts';
import type { RenderPool } from '../../processes/render-pool.ts';
import { defineRenderTask } from '../../processes/render-task.ts';
import type { InlineProvider, ProviderFacts, Take, TakeContext, TakeRequest } from '../provider.ts';
import type { Warning } from '../../contract/provider-types.ts';
import { toLocalTakeInput } from '../local/take-input.ts';
import type { EngineDevice } from './engine/engine-address.ts';
import type { wav2lipTask } from './wav2lip-task.ts';
import type { EngineLease, EnginePool, LeaseContext } from './engine/engine-pool.ts';

export const wav2lipFacts: ProviderFacts = { id: 'wav2lip', degraded: false };

/** Tracks the face, has an engine draw its mouth, pastes it back, and encodes. */
export const wav2lipRenderTask = defineRenderTask<typeof wav2lipTask>('./wav2lip-task', 'wav2lipTask', import.meta.url);

export interface Wav2LipProviderDependencies {
  readonly renderPool: RenderPool;
  readonly enginePool: EnginePool;
  /** An .onnx file, or an official checkpoint, which the engine imports. */
  readonly modelPath: string;
  /** Where imported models are kept. */
  readonly modelCacheFolder: string;
  readonly trackCacheFolder: string;
  /** As in `Wav2LipTakeInput`. */
  readonly windowStartMs: number;
  /** Told on what a take begins to be made. */
  onDevice?(device: EngineDevice): void;
}

/**
 * The Wav2Lip engine of this machine: on the first device that works, and on the next one when that gives up. A GPU whose
 * engine is lost gets a new one before it is given up.
 */
export function createWav2LipProvider(dependencies: Wav2LipProviderDependencies): InlineProvider {
  return { kind: 'inline', facts: wav2lipFacts, run: (request, context) => run(dependencies, request, context) };
}

async function run(
  dependencies: Wav2LipProviderDependencies,
  request: TakeRequest,
  context: TakeContext,
): Promise<Take> {
  const warnings: Warning[] = [];
  const lostOn = new Set<string>();
  const givenUp: string[] = [];
  for (;;) {
    // A checkpoint may have to be imported first, and devices take their time to refuse.
    context.onProgress({ stage: 'loading', fraction: 0 });
    const lease = await leaseEngine(dependencies, { signal: context.signal, except: givenUp });
    dependencies.onDevice?.(lease.engine.device);
    const made = await renderWith(lease, dependencies, request, context);
    if (!LipsyncError.isInstance(made))
      return { path: request.takePath, warnings: [...warnings, ...lease.warnings, ...made.warnings], costMicros: 0 };
    // Nothing comes after the CPU; whether that is tried again is for the chain to say.
    if (!isFaultOfDevice(made) || lease.engine.device === 'cpu' || context.signal.aborted) throw made;
    const { deviceName } = lease;
    const why = `(${made.code}: ${made.message})`;
    if (made.code === 'media_failed' && !lostOn.has(deviceName)) {
      lostOn.add(deviceName);
      warnings.push({ code: 'engine_lost', message: `${deviceName} lost its engine ${why}; a new one began again.` });
      continue;
    }
    lease.blame(made);
    givenUp.push(deviceName);
    warnings.push({
      code: 'engine_device_failed',
      message: `${deviceName} gave up ${why}; the next device was taken.`,
    });
  }
}

async function leaseEngine(
  { enginePool, modelPath: path, modelCacheFolder: cacheFolder }: Wav2LipProviderDependencies,
  context: LeaseContext,
): Promise<EngineLease> {
  try {
    return await enginePool.lease({ path, cacheFolder }, context);
  } catch (error) {
    // What reads models does not know which of them all it was given.
    if (!LipsyncError.isInstance(error) || !['model_invalid', 'model_missing'].includes(error.code)) throw error;
    throw new LipsyncError(error.code, `The model that WAV2LIP_MODEL_PATH names cannot be used. ${error.message}`, {
      cause: error,
    });
  }
}

/** The take's report, or why there is none. The engine is given back either way. */
async function renderWith(
  lease: EngineLease,
  { renderPool, trackCacheFolder, windowStartMs }: Wav2LipProviderDependencies,
  request: TakeRequest,
  context: TakeContext,
): Promise<TakeReport | LipsyncError> {
  const input = {
    ...toLocalTakeInput(request, trackCacheFolder),
    engine: lease.engine,
    windowStartMs,
    colorMatch: true,
    sharpen: true,
  };
  try {
    return await renderPool.run(wav2lipRenderTask, input, context);
  } catch (error) {
    if (LipsyncError.isInstance(error)) return error;
    throw error;
  } finally {
    lease.release();
  }
}

/** What another device may do better: it has other memory, other arithmetic and another driver. */
const faultsOfDevices: readonly ErrorCode[] = ['resource_exhausted', 'model_invalid', 'media_failed'];

/** Only what the engine itself came to: a full disk, a damaged face model or an ffmpeg that fails are the same with every device. */
function isFaultOfDevice({ code, details }: LipsyncError): boolean {
  return details['engine'] === true && faultsOfDevices.includes(code);
}
