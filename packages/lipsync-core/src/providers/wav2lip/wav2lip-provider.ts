import { LipsyncError } from '../../errors/index.ts';
import { annotateSpan } from '../../tracing/spans.ts';
import type { TakeReport } from '../../media/index.ts';
import type { RenderPool } from '../../processes/render-pool.ts';
import { defineRenderTask } from '../../processes/render-task.ts';
import type { InlineProvider, ProviderFacts, Take, TakeContext, TakeRequest } from '../provider.ts';
import type { Warning } from '../../contract/provider-types.ts';
import { toLocalTakeInput } from '../local/take-input.ts';
import type { EngineDevice } from './engine/engine-address.ts';
import { isDeviceFault } from './engine/engine-client.ts';
import type { wav2lipTask } from './wav2lip-task.ts';
import type { EngineLease, EnginePool, LeaseContext } from './engine/engine-pool.ts';

export const wav2lipFacts: ProviderFacts = { id: 'wav2lip', degraded: false };

/** Tracks the face, has an engine draw its mouth, pastes it back, and encodes. */
export const wav2lipRenderTask = defineRenderTask<typeof wav2lipTask>('./wav2lip-task', 'wav2lipTask', import.meta.url);

export interface Wav2LipProviderDependencies {
  readonly renderPool: RenderPool;
  readonly enginePool: Pick<EnginePool, 'lease'>;
  /** An .onnx file, or an official checkpoint, which the engine imports. */
  readonly modelPath: string;
  /** Folder for imported models. */
  readonly modelCacheFolder: string;
  readonly trackCacheFolder: string;
  /** As in `Wav2LipTakeInput`. */
  readonly windowStartMs: number;
  /** Precision of the model as its record states it; null if unknown. */
  readPrecision?(): Promise<string | null>;
  /** Called with the device whenever rendering starts. */
  onDevice?(device: EngineDevice): void;
}

/**
 * Makes takes with the Wav2Lip engine of this machine, on the first device that works and on the next one when that
 * fails. A lost GPU engine is restarted once before the provider changes the device.
 */
export function createWav2LipProvider(dependencies: Wav2LipProviderDependencies): InlineProvider {
  return {
    kind: 'inline',
    facts: wav2lipFacts,
    rendersSegments: true,
    run: (request, context) => run(dependencies, request, context),
  };
}

async function run(
  dependencies: Wav2LipProviderDependencies,
  request: TakeRequest,
  context: TakeContext,
): Promise<Take> {
  const warnings: Warning[] = [];
  const restartedOn = new Set<string>();
  const failedDevices: string[] = [];
  for (;;) {
    // Devices may take long to refuse, and a checkpoint may have to be imported.
    context.onProgress({ stage: 'loading', fraction: 0 });
    const lease = await leaseEngine(dependencies, { signal: context.signal, except: failedDevices });
    dependencies.onDevice?.(lease.engine.device);
    annotateSpan({ 'lipsync.device': lease.deviceName });
    const outcome = await render(lease, dependencies, request, context);
    if (outcome.type === 'rendered') {
      const modelPrecision = await dependencies.readPrecision?.();
      return {
        path: request.takePath,
        warnings: [...warnings, ...lease.warnings, ...outcome.report.warnings],
        costMicros: 0,
        ...(modelPrecision && { modelPrecision }),
      };
    }
    const { error } = outcome;
    // The CPU is the last device; the provider chain decides whether to retry.
    if (!isDeviceFault(error) || lease.engine.device === 'cpu' || context.signal.aborted) throw error;
    const { deviceName } = lease;
    const reason = `(${error.code}: ${error.message})`;
    if (error.code === 'media_failed' && !restartedOn.has(deviceName)) {
      restartedOn.add(deviceName);
      warnings.push({
        code: 'engine_lost',
        message: `The engine on ${deviceName} failed ${reason} and was restarted.`,
      });
      continue;
    }
    lease.blame(error);
    failedDevices.push(deviceName);
    warnings.push({
      code: 'engine_device_failed',
      message: `${deviceName} failed ${reason}; the job continued on the next device.`,
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
    // The message of the model reader does not name the setting.
    if (!LipsyncError.isInstance(error) || !['model_invalid', 'model_missing'].includes(error.code)) throw error;
    throw new LipsyncError(error.code, `The model at WAV2LIP_MODEL_PATH cannot be used. ${error.message}`, {
      cause: error,
    });
  }
}

type RenderOutcome =
  | { readonly type: 'rendered'; readonly report: TakeReport }
  | { readonly type: 'failed'; readonly error: LipsyncError };

/** Renders the take and releases the lease in any case. Throws only what is not a `LipsyncError`. */
async function render(
  lease: EngineLease,
  { renderPool, trackCacheFolder, windowStartMs }: Wav2LipProviderDependencies,
  request: TakeRequest,
  context: TakeContext,
): Promise<RenderOutcome> {
  const input = {
    ...toLocalTakeInput(request, trackCacheFolder),
    engine: lease.engine,
    windowStartMs,
    colorMatch: true,
    sharpen: true,
  };
  try {
    return { type: 'rendered', report: await renderPool.run(wav2lipRenderTask, input, context) };
  } catch (error) {
    if (LipsyncError.isInstance(error)) return { type: 'failed', error };
    throw error;
  } finally {
    lease.release();
  }
}
