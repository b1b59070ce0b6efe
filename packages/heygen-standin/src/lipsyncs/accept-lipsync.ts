import type { AssetStore } from '../assets/asset-store.ts';
import type { MediaFile } from '../assets/media-library.ts';
import { downloadFile } from '../assets/receive-file.ts';
import { failureMessages, type Fault } from '../faults/fault-types.ts';
import { HeygenError } from '../http/answer.ts';
import type { MediaFacts } from '../media/ffmpeg.ts';
import type { CreateBody, MediaReference } from './create-body.ts';
import type { Operation, Operations, Outcome } from './operation.ts';
import { runOperation, type RunDependencies } from './run-operation.ts';
import { priceMicros } from './wallet.ts';

/** HeyGen refuses speech whose duration differs from the clip's by more than this fraction. */
const maxDurationDifference = 0.15;

export interface AcceptDependencies extends RunDependencies {
  readonly assets: AssetStore;
  readonly operations: Operations;
  /** Aborts when the stand-in closes. */
  readonly signal: AbortSignal;
}

/**
 * Starts a job. Throws 429 at the concurrency limit, 404 and 409 for its assets, 400 `download_failed` for its URLs,
 * and 402 when the wallet does not cover this job and the active ones.
 */
export async function acceptLipsync(
  request: CreateBody,
  faults: readonly Fault[],
  dependencies: AcceptDependencies,
): Promise<Operation> {
  const { settings, operations, media } = dependencies;
  const { maxConcurrent, retryAfterS } = settings.current;
  const slot = operations.acquireSlot(maxConcurrent, retryAfterS);
  let operation: Operation;
  let files: { readonly video: MediaFile; readonly audio: MediaFile };
  try {
    files = {
      video: await resolveMedia('video', request.video, dependencies),
      audio: await resolveMedia('audio', request.audio, dependencies),
    };
    const [video, audio] = [await media.readFacts(files.video), await media.readFacts(files.audio)];
    const outcome = determineOutcome({ video, audio, request, faults });
    const reservedMicros = quoteMicros(outcome, request.mode, dependencies);
    requireFunds(reservedMicros, dependencies);
    const stuckAt = faults.find((fault) => fault.kind === 'stick')?.status ?? null;
    operation = operations.add({ request, outcome, reservedMicros, stuckAt });
  } finally {
    slot[Symbol.dispose]();
  }
  void runOperation(operation, files, dependencies);
  return operation;
}

async function resolveMedia(
  param: 'audio' | 'video',
  reference: MediaReference,
  { assets, media, settings, signal }: AcceptDependencies,
): Promise<MediaFile> {
  if (reference.type === 'asset_id') return assets.require(reference.asset_id, `${param}.asset_id`).file;
  const { directUploadMaxBytes } = settings.current;
  return downloadFile({ param, url: reference.url }, media.createPath(), directUploadMaxBytes, signal);
}

/** Determines how a job ends. The output is as long as the audio, or as the video without a dynamic duration. */
function determineOutcome(input: {
  readonly video: MediaFacts;
  readonly audio: MediaFacts;
  readonly request: Pick<CreateBody, 'enable_dynamic_duration'>;
  readonly faults: readonly Fault[];
}): Outcome {
  const { video, audio, request, faults } = input;
  const scripted = faults.find((fault) => fault.kind === 'fail');
  if (scripted !== undefined)
    return { type: 'failure', message: scripted.message ?? failureMessages[scripted.reason ?? 'audio_missing'] };
  if (video.videoMs === null || video.audioMs === null || audio.audioMs === null)
    return { type: 'failure', message: failureMessages.audio_missing };
  if (Math.abs(audio.audioMs - video.videoMs) > maxDurationDifference * video.videoMs)
    return { type: 'failure', message: failureMessages.duration_mismatch };
  return { type: 'video', durationMs: request.enable_dynamic_duration ? audio.audioMs : video.videoMs };
}

function quoteMicros(outcome: Outcome, mode: CreateBody['mode'], { settings }: AcceptDependencies): number {
  return outcome.type === 'failure' ? 0 : priceMicros(outcome.durationMs, mode, settings.current);
}

function requireFunds(neededMicros: number, { wallet, operations }: AcceptDependencies): void {
  const { balanceMicros } = wallet.state();
  const availableMicros = balanceMicros - operations.reservedMicros();
  if (balanceMicros > 0 && neededMicros <= availableMicros) return;
  const dollars = (micros: number): string => (Math.max(0, micros) / 1_000_000).toFixed(4);
  throw new HeygenError(
    402,
    'insufficient_credit',
    `Insufficient credit: you have $${dollars(availableMicros)}, this job needs $${dollars(neededMicros)}`,
  );
}
