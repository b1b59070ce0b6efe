import type { RequestHandler } from 'express';
import type {
  ArtifactStore,
  CircuitBreaker,
  Clock,
  Estimator,
  JobStore,
  Ledger,
  Logger,
  OptionsSchema,
  ProviderStatus,
} from '@lipsync/core';
import type { Method } from '@lipsync/core/contract';
import type { QueuedJobs } from '@lipsync/queue';
import type { ApiKey } from './http/access.ts';

/** One thing that must work for the service to be of use; throws when it does not. */
export interface ReadinessCheck {
  readonly name: string;
  readonly check: () => Promise<void>;
}

/** Everything that the app needs; `wiring.ts` builds the real ones. */
export interface ApiDependencies {
  readonly jobs: QueuedJobs;
  readonly store: Pick<JobStore, 'get' | 'list'>;
  readonly artifacts: ArtifactStore;
  /** Throws `not_supported` for a method that this installation does not have. */
  readonly checkMethod: (method: Method) => void;
  /** Parses the optional fields of a request, in TypeScript spelling. */
  readonly optionsSchema: OptionsSchema;
  /** Every provider, ready or not. */
  readonly providers: readonly ProviderStatus[];
  readonly breaker: Pick<CircuitBreaker, 'look'>;
  readonly ledger: Pick<Ledger, 'sum'>;
  readonly estimator: Estimator;
  readonly clock: Clock;
  /** Throws `url_forbidden` or `request_invalid` for a URL that will not be fetched. */
  readonly checkUrl: (url: string) => void;
  readonly readiness: readonly ReadinessCheck[];
  /** The page about the queues, without access rules of its own. */
  readonly queueBoard: RequestHandler;
  readonly logger: Logger;
  /** Empty where the API is open to this machine. */
  readonly keys: readonly ApiKey[];
  readonly maxUploadBytes: number;
  /** Of a clip and of a speech. */
  readonly maxDurationMs: number;
  /** Put before the paths of answers; empty for relative ones. No slash at the end. */
  readonly publicBaseUrl: string;
  /** How long an event stream may be silent. */
  readonly heartbeatMs: number;
  readonly maxEventStreams: number;
}
