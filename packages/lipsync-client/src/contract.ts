/** The shapes of the HTTP API, in its own spelling. Types only: nothing of the core is loaded. */
import type {
  Consent,
  CostsView,
  JobStatus,
  LipsyncOptionsInput,
  QualityOptionsInput,
  SnakeCaseKeys,
} from '@lipsync/core/contract';

export type {
  AttemptView,
  BatchPageView as BatchPage,
  BatchSummaryView as BatchSummary,
  BatchView,
  CostsView,
  DeliveryPageView as DeliveryPage,
  DeliveryView,
  EstimateView,
  JobStatus,
  JobView,
  OriginView,
  ProblemView,
  ProvidersView,
  QualityJobView,
  QualityView,
  ReceiverPageView as ReceiverPage,
  WebhookMessageData,
  WebhookMessageType,
} from '@lipsync/core/contract';

/** A file to upload, or the http(s) URL of one that the service fetches. A `File` also has a name. */
export type Input = Blob | URL | string;

/** The optional fields of `POST /lipsync`. */
type LipsyncFields = SnakeCaseKeys<Omit<LipsyncOptionsInput, 'consent'>> & {
  /** Who agreed to what; stored with the job only. */
  readonly consent?: SnakeCaseKeys<Consent> | undefined;
};

/** A request for a lip-sync: the inputs, and the optional fields of `POST /lipsync`. */
export type LipsyncRequest = LipsyncFields & { readonly video: Input; readonly audio: Input };

/** A request for the quality of a video: the inputs, and the optional fields of `POST /quality`. */
export type QualityRequest = SnakeCaseKeys<QualityOptionsInput> & {
  readonly video: Input;
  readonly source?: Input;
  readonly audio?: Input;
};

/** The body of `POST /estimate`. */
export type EstimateRequest = LipsyncFields & {
  readonly audio_duration_ms: number;
  readonly video_duration_ms?: number | null;
};

/** The query of `GET /lipsync` and `GET /quality`. Conditions add up; at most one is on metadata. */
export interface ListQuery {
  readonly [metadata: `metadata.${string}`]: string | number | boolean;
  readonly status?: JobStatus | undefined;
  readonly user_id?: string | undefined;
  /** Only for lip-sync jobs. */
  readonly method?: string | undefined;
  /** Id of a batch; only for lip-sync jobs. */
  readonly batch?: string | undefined;
  /** Times as in `created_at`, or UTC days. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** Jobs per page, 1 to 100. */
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

/** The query of `GET /costs`. Days are in UTC. */
export interface CostsQuery {
  readonly from?: string;
  readonly to?: string;
  readonly group_by?: CostsView['group_by'];
}

/** A page of jobs, newest first. */
export interface Page<Job> {
  readonly jobs: readonly Job[];
  /** `cursor` of the next page; null on the last one. */
  readonly next_cursor: string | null;
}

/** The body of `POST /batches`: items, and fields that apply to every item without its own value. */
export type BatchRequest = LipsyncFields & {
  readonly items: readonly (LipsyncRequest & {
    /** File name of the output. */
    readonly output_name?: string;
  })[];
};

/** The query of `GET /webhooks/deliveries`. */
export interface DeliveryQuery {
  /** Only messages about this job or batch. */
  readonly job_id?: string;
  readonly status?: JobStatus;
  /** Deliveries per page, 1 to 100. */
  readonly limit?: number;
  readonly cursor?: string;
}
