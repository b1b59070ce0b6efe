import type { TraceContext } from '../contract/ports.ts';
import type { ProviderId, ProviderOptionValues, SilenceMode } from '../contract/index.ts';
import type { Operation, OperationRequest, ProgressReport, Warning } from '../contract/provider-types.ts';
import type { ErrorCode } from '../errors/index.ts';
import type { ClipFacts, SpeechFacts } from '../media/media-types.ts';
import type { TakeEncoding } from '../media/takes/take-encoding.ts';
import type { TakeLabel } from '../media/takes/label-picture.ts';
import type { TakeSegment } from '../media/takes/take-loop.ts';
import type { Timeline } from '../media/timeline.ts';

/** What a provider is, as data. */
export interface ProviderFacts {
  readonly id: ProviderId;
  /** Whether its takes only stand in for a real result. Such takes are marked. */
  readonly degraded: boolean;
}

/** Everything a provider needs to make a take. The paths are private to this run of the job. */
export interface TakeRequest {
  readonly jobId: string;
  readonly clipPath: string;
  /** SHA-256 of the clip; the key of caches about it. */
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  /** Voice activity and mouth curve of the speech, one value per output frame; `audio/` reads it. */
  readonly mouthCurvePath: string;
  readonly silenceMode: SilenceMode;
  /** Quality of takes that are encoded here. */
  readonly encoding?: TakeEncoding | undefined;
  /** Visible label of takes that are encoded here. */
  readonly label?: TakeLabel | undefined;
  /** Options of single providers, by provider id. */
  readonly providerOptions: Readonly<Record<string, ProviderOptionValues>>;
  /** A finished face track of the clip, which is used in place of tracking. */
  readonly trackPath?: string | undefined;
  /** Make only this part of the take, without sound. Set only for providers with `rendersSegments`. */
  readonly segment?: TakeSegment | undefined;
  /** Where the take is to be written; its folder is private to this attempt and is removed afterwards. */
  readonly takePath: string;
}

export interface TakeContext {
  readonly signal: AbortSignal;
  readonly trace?: TraceContext;
  /** Number of the run of the job, higher for later runs; 0 when absent. */
  readonly run?: number;
  onProgress(progress: ProgressReport): void;
}

/** A candidate output: a finished, probed file at `path`. */
export interface Take {
  readonly path: string;
  readonly warnings: readonly Warning[];
  readonly costMicros: number;
  /** Time that other runs and other workers have spent on the take; none by default. */
  readonly workElsewhereMs?: number;
  /** Set when parts were made by an earlier attempt, which was charged for them. */
  readonly reusesSegments?: true;
  /** Precision of the model that drew it: `float32`, `float16` or `int8`; absent if unknown. */
  readonly modelPrecision?: string;
}

/**
 * `costMicros` is the vendor's final charge, independent of the result. `billedMicros` is set when the vendor charges
 * for a result that it does not deliver yet.
 */
export type OperationStatus =
  | { readonly status: 'pending'; readonly checkAgainInMs: number; readonly billedMicros?: number }
  | { readonly status: 'done'; readonly operation: Operation; readonly costMicros: number }
  | { readonly status: 'failed'; readonly code: ErrorCode; readonly message: string; readonly costMicros: number };

/** Makes takes on this machine. `run` resolves with a finished take or throws a `LipsyncError`. */
export interface InlineProvider {
  readonly kind: 'inline';
  readonly facts: ProviderFacts;
  /** Whether several workers may render parts of one take: it honors `segment` and `trackPath` of a request. */
  readonly rendersSegments?: true;
  run(request: TakeRequest, context: TakeContext): Promise<Take>;
  /** Ends what the provider keeps running between takes. */
  close?(): Promise<void>;
}

/** Makes the takes of inline providers, on several workers where that helps. Its errors are those of `run`. */
export interface TakeMaker {
  make(provider: InlineProvider, request: TakeRequest, context: TakeContext): Promise<Take>;
}

/** Makes takes at a vendor. No worker waits for an operation: its job is parked between status checks. */
export interface RemoteProvider {
  readonly kind: 'remote';
  readonly facts: ProviderFacts;
  /** Limit of simultaneous operations over all machines. */
  readonly maxConcurrent: number;
  /** Time limit of an operation, and of an attempt until its operation starts. */
  readonly timeoutMs: number;
  /** The highest possible cost of a take of this request, in millionths of a dollar. Pure. */
  quote(request: TakeRequest): number;
  /** How long the vendor recognizes a repeated request by its idempotency key. */
  readonly requestLifetimeMs: number;
  /** Prepares a request without cost. `replaced` is a request that names inputs that the vendor no longer has. */
  prepareRequest(
    request: TakeRequest,
    context: TakeContext & { readonly idempotencyKey: string; readonly replaced: OperationRequest | null },
  ): Promise<OperationRequest>;
  /**
   * Starts an operation. A repeated request returns the same operation. Throws a `ProviderError` whose `requestOutcome`
   * states whether an operation may have been started, whose `isRequestExpired` states whether a new request must be
   * prepared, and whose `retryAfterMs` the retry policy honors.
   */
  start(request: OperationRequest, context: TakeContext): Promise<Operation>;
  check(operation: Operation, context: TakeContext): Promise<OperationStatus>;
  /**
   * Searches for the operation of a request that was first sent at `sinceMs` without an answer. Starts nothing. Null
   * when there is none so far. Throws when the search was incomplete.
   */
  find(
    request: OperationRequest,
    context: { readonly signal: AbortSignal; readonly sinceMs: number },
  ): Promise<Operation | null>;
  /** Downloads the take of a finished operation. Its cost is known from `check`. */
  collect(operation: Operation, request: TakeRequest, context: TakeContext): Promise<Omit<Take, 'costMicros'>>;
  /** Cancels an operation. Returns what the vendor charges for it; null when that is unknown. */
  cancel(operation: Operation, context: { readonly signal: AbortSignal }): Promise<number | null>;
  /**
   * Deletes what the vendor keeps of an attempt whose cost is known: the operation with its result, and the uploaded
   * inputs. Succeeds when they do not exist. Absent where the vendor deletes nothing on request.
   */
  deleteCopies?(
    copies: { readonly operation: Operation | null; readonly request: OperationRequest | null },
    context: { readonly signal: AbortSignal },
  ): Promise<void>;
  /** Ends what the provider keeps running between takes. */
  close?(): Promise<void>;
}

export type Provider = InlineProvider | RemoteProvider;
