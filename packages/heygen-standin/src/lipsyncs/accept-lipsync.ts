import type { AssetStore } from '../assets/asset-store.ts';
import { fetchMedia } from '../assets/fetch-media.ts';
import type { MediaFile } from '../assets/media-library.ts';
import type { Fault } from '../faults/fault-types.ts';
import { HeygenError } from '../http/heygen-error.ts';
import type { CreateBody, MediaReference } from './create-body.ts';
import { foreseeOutcome } from './foresee-outcome.ts';
import type { Operation, Outcome } from './operation.ts';
import type { Operations } from './operations.ts';
import { runOperation, type RunDependencies } from './run-operation.ts';
import { priceMicros } from './wallet.ts';

export interface AcceptDependencies extends RunDependencies {
  readonly assets: AssetStore;
  readonly operations: Operations;
  /** Aborts when the stand-in closes. */
  readonly signal: AbortSignal;
}

/**
 * Starts a job. Throws 429 when too many run, 404 and 409 for its assets, 400 `download_failed` for its URLs, and 402
 * when the wallet does not hold what this job and the running ones cost.
 */
export async function acceptLipsync(
  request: CreateBody,
  faults: readonly Fault[],
  dependencies: AcceptDependencies,
): Promise<Operation> {
  const { settings, operations, media } = dependencies;
  const { maxConcurrent, retryAfterS } = settings.current;
  const place = operations.acquireSlot(maxConcurrent, retryAfterS);
  let operation: Operation;
  let files: { readonly video: MediaFile; readonly audio: MediaFile };
  try {
    files = {
      video: await findMedia('video', request.video, dependencies),
      audio: await findMedia('audio', request.audio, dependencies),
    };
    const outcome = foreseeOutcome(await media.facts(files.video), await media.facts(files.audio), request, faults);
    const heldMicros = expectedPrice(outcome, request.mode, dependencies);
    requireFunds(heldMicros, dependencies);
    const stuckAt = faults.find((fault) => fault.kind === 'stick')?.status ?? null;
    operation = operations.add({ request, outcome, heldMicros, stuckAt });
  } finally {
    place[Symbol.dispose]();
  }
  void runOperation(operation, files, dependencies);
  return operation;
}

async function findMedia(
  param: 'audio' | 'video',
  reference: MediaReference,
  { assets, media, settings, signal }: AcceptDependencies,
): Promise<MediaFile> {
  if (reference.type === 'asset_id') return assets.require(reference.asset_id, `${param}.asset_id`).file;
  return fetchMedia(param, reference.url, media.newPath(), settings.current.directUploadMaxBytes, signal);
}

function expectedPrice(outcome: Outcome, mode: CreateBody['mode'], { settings }: AcceptDependencies): number {
  if ('failure' in outcome) return 0;
  const { speedMicrosPerSecond, precisionMicrosPerSecond } = settings.current;
  return priceMicros(outcome.durationMs, mode === 'speed' ? speedMicrosPerSecond : precisionMicrosPerSecond);
}

function requireFunds(neededMicros: number, { wallet, operations }: AcceptDependencies): void {
  const { balanceMicros } = wallet.state();
  const freeMicros = balanceMicros - operations.heldMicros();
  if (balanceMicros > 0 && neededMicros <= freeMicros) return;
  const dollars = (micros: number): string => (Math.max(0, micros) / 1_000_000).toFixed(4);
  throw new HeygenError(
    402,
    'insufficient_credit',
    `Insufficient credit: you have $${dollars(freeMicros)}, this job needs $${dollars(neededMicros)}`,
  );
}
