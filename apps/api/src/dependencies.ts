import type { z } from 'zod';
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
  ProcessMetrics,
  OriginVerifier,
  ProviderStatus,
  Readiness,
  ReceiverSwitches,
} from '@lipsync/core/host';
import type { LipsyncOptions, Method } from '@lipsync/core/contract';
import type {
  Batches,
  IdempotencyKeys,
  JobCounts,
  JobErasure,
  QueuedJobs,
  readStoredJobs,
  RetentionCounts,
  UploadedInputs,
  UserErasure,
  WaitingWork,
  WebhookCounts,
} from '@lipsync/queue';
import type { ApiKey } from './http/access.ts';
import type { BodyTimeLimits } from './http/body-time.ts';
import type { RateLimitOptions } from './http/rate-limit.ts';

/** Dependencies of the app; `wiring.ts` builds them. */
export interface ApiDependencies {
  readonly jobs: QueuedJobs;
  readonly erasure: Pick<JobErasure, 'erase'>;
  readonly batches: Batches;
  readonly userErasure: Pick<UserErasure, 'erase'>;
  readonly requestKeys: Pick<IdempotencyKeys, 'hold'>;
  readonly store: Pick<JobStore, 'get' | 'list'>;
  readonly artifacts: ArtifactStore;
  readonly uploads: Pick<UploadedInputs, 'note'>;
  /** Throws `not_supported` for a method that this installation does not have. */
  readonly checkMethod: (method: Method) => void;
  /** Throws `not_supported` for a lowest sync score where none is measured. */
  readonly checkMinSyncScore: (options: Pick<LipsyncOptions, 'minSyncScore'>) => void;
  /** Throws `consent_required` and `consent_expired`. */
  readonly checkConsent: (options: Pick<LipsyncOptions, 'consent'>) => void;
  /** Parses the optional fields of a request, in TypeScript spelling. */
  readonly optionsSchema: OptionsSchema;
  /** The same fields in HTTP spelling, for the reference. */
  readonly documentedOptions: z.ZodObject;
  /** All providers, configured or not. */
  readonly providers: readonly ProviderStatus[];
  /** Whether takes are assessed, and which optional models are configured for it; as in responses. */
  readonly qualityModels: Readonly<Record<'enabled' | 'syncnet' | 'lr_asd' | 'dnsmos', boolean>>;
  readonly breaker: Pick<CircuitBreaker, 'inspect'>;
  readonly ledger: Pick<Ledger, 'sum'>;
  readonly estimator: Estimator;
  readonly originVerifier: Pick<OriginVerifier, 'verify' | 'verifyContent'>;
  /** Time until a new job is expected to end; undefined while it is unknown. */
  readonly expectedMs: (options: LipsyncOptions, jobsAhead?: number) => Promise<number | undefined>;
  readonly clock: Clock;
  /** Throws `url_forbidden` or `request_invalid` for a URL that the service does not fetch. */
  readonly checkUrl: (url: string) => void;
  /** Throws `not_supported` where no webhooks are sent. */
  readonly requireWebhooks: () => void;
  /** As `checkUrl`, for the receiver of webhooks, whose host must also resolve to public addresses. */
  readonly checkReceiver: (url: string) => Promise<void>;
  /** Receivers of webhooks that are switched off. */
  readonly receivers: Pick<ReceiverSwitches, 'list' | 'find' | 'switchOnById'>;
  /** Numbers of jobs whose data were deleted because of their age. */
  readonly readRetentionCounts: () => Promise<RetentionCounts>;
  /** Numbers of ended jobs and attempts, and of reused results. */
  readonly readJobCounts: () => Promise<JobCounts>;
  /** Numbers of stored jobs by kind and status. */
  readonly readStoredJobs: () => ReturnType<typeof readStoredJobs>;
  /** Metrics of this process. */
  readonly metrics: ProcessMetrics['registry'];
  /** Work that waits for workers. */
  readonly waitingWork: Pick<WaitingWork, 'read' | 'readSeconds'>;
  /** Numbers of deliveries of webhooks by result. */
  readonly readWebhookCounts: () => Promise<WebhookCounts>;
  readonly readiness: Pick<Readiness, 'read'>;
  /** The queue dashboard, without access control. */
  readonly queueBoard: RequestHandler;
  readonly logger: Logger;
  /** Empty if the API accepts loopback requests without a key. */
  readonly keys: readonly ApiKey[];
  /** Limits for each key, and for failed logins; an API without keys has none. */
  readonly rateLimit: RateLimitOptions;
  /** Addresses and subnets of proxies whose `X-Forwarded-For` names the client. */
  readonly trustedProxies: readonly string[];
  /** Origins of pages that may call the API from a browser. */
  readonly corsOrigins: readonly string[];
  readonly maxUploadBytes: number;
  /** Limit for the files of one batch together. */
  readonly maxBatchUploadBytes: number;
  readonly bodyTime: BodyTimeLimits;
  /** Longest clip and longest speech. */
  readonly maxDurationMs: number;
  /** Prefix of URLs in responses, without a trailing slash; empty for relative URLs. */
  readonly publicBaseUrl: string;
  /** Interval of comments on an idle event stream. */
  readonly heartbeatMs: number;
  readonly maxEventStreams: number;
}
