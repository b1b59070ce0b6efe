import type { TraceContext } from '../contract/ports.ts';
import type { ProviderId, ProviderOptionValues, SilenceMode } from '../contract/index.ts';
import type { Operation, OperationRequest, ProgressReport, Warning } from '../contract/provider-types.ts';
import type { ErrorCode } from '../errors/index.ts';
import type { ClipFacts, SpeechFacts } from '../media/media-types.ts';
import type { Timeline } from '../media/timeline.ts';

/** What a provider is, as data. */
export interface ProviderFacts {
  readonly id: ProviderId;
  /** Takes of this provider are a stand-in for the real thing and are marked so. */
  readonly degraded: boolean;
}

/** Everything a provider needs to make a take. Paths are private to this run of the job. */
export interface TakeRequest {
  readonly jobId: string;
  readonly clipPath: string;
  /** Content hash of the clip, the key for anything cached about it. */
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  /** Voice activity and mouth shape of the speech, one value per output frame; `speech/` reads it. */
  readonly mouthCurvePath: string;
  readonly silenceMode: SilenceMode;
  /** Options of single providers, by provider id. */
  readonly providerOptions: Readonly<Record<string, ProviderOptionValues>>;
  /** Where the take is to be written; its folder is private to this attempt and is removed afterwards. */
  readonly takePath: string;
}

export interface TakeContext {
  readonly signal: AbortSignal;
  readonly trace?: TraceContext;
  onProgress(progress: ProgressReport): void;
}

/** A candidate output: a finished, probed file at `path`. */
export interface Take {
  readonly path: string;
  readonly warnings: readonly Warning[];
  readonly costMicros: number;
}

/**
 * `costMicros` is what the vendor bills for the operation, whatever becomes of its result; `billedMicros` the same where
 * it bills for a result that it does not hand out yet.
 */
export type OperationStatus =
  | { readonly status: 'pending'; readonly checkAgainInMs: number; readonly billedMicros?: number }
  | { readonly status: 'done'; readonly operation: Operation; readonly costMicros: number }
  | { readonly status: 'failed'; readonly code: ErrorCode; readonly message: string; readonly costMicros: number };

/** Runs here; `run` resolves with a finished take or throws a `LipsyncError`. */
export interface InlineProvider {
  readonly kind: 'inline';
  readonly facts: ProviderFacts;
  run(request: TakeRequest, context: TakeContext): Promise<Take>;
  /** Ends what the provider keeps running between takes. */
  close?(): Promise<void>;
}

/** Runs elsewhere, while nobody here waits: a job comes back to `check` when it was told to. */
export interface RemoteProvider {
  readonly kind: 'remote';
  readonly facts: ProviderFacts;
  /** Operations at once, over all machines. */
  readonly maxConcurrent: number;
  /** How long an operation may take, and how long an attempt may go without one. */
  readonly timeoutMs: number;
  /** The most that a take of this request can cost, in millionths of a dollar. Pure. */
  quote(request: TakeRequest): number;
  /** How long the same order asks for the same operation, and not for another. */
  readonly requestLifetimeMs: number;
  /** Makes an order ready; costs nothing. `replaced` is one that names what the vendor does not have any more. */
  prepareRequest(
    request: TakeRequest,
    context: TakeContext & { readonly idempotencyKey: string; readonly replaced: OperationRequest | null },
  ): Promise<OperationRequest>;
  /**
   * May be called again with the same order: then it is the same operation. Trouble that may pass is thrown, with
   * `details.retryAfterMs` where the vendor said so: the attempt comes back. `details.isRefused` is true where the vendor
   * surely began nothing, `details.isOrderGone` where another order must be made; else there may be an operation.
   */
  start(order: OperationRequest, context: TakeContext): Promise<Operation>;
  check(operation: Operation, context: TakeContext): Promise<OperationStatus>;
  /**
   * Looks for the operation of an order that went unanswered first at `sinceMs`, which may be before it was made anew;
   * orders nothing. Null when there is none so far. Throws when not all could be looked through.
   */
  find(
    order: OperationRequest,
    context: { readonly signal: AbortSignal; readonly sinceMs: number },
  ): Promise<Operation | null>;
  /** Fetches the take of an operation that is done. What it cost is known from `check`. */
  collect(operation: Operation, request: TakeRequest, context: TakeContext): Promise<Omit<Take, 'costMicros'>>;
  /** Stops an operation that is not wanted. Returns what it is billed all the same, null where that is not known. */
  cancel(operation: Operation, context: { readonly signal: AbortSignal }): Promise<number | null>;
  /** Ends what the provider keeps running between takes. */
  close?(): Promise<void>;
}

export type Provider = InlineProvider | RemoteProvider;
