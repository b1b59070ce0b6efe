import { z } from 'zod';
import type { ProviderId } from '../../contract/index.ts';
import type { Warning } from '../../contract/provider-types.ts';
import type { TakeSegment } from '../../media/index.ts';
import type { TakeRequest } from '../../providers/provider.ts';

/** The part of a request that all workers share; each has files of its own. */
export type SharedRequest = Omit<
  TakeRequest,
  'clipPath' | 'mouthCurvePath' | 'segment' | 'speechPath' | 'takePath' | 'trackPath'
>;

/** Whether a worker runs the job, or renders segments of the job of another one. */
export type SegmentRole = 'owner' | 'helper';

/** The right of one worker to render a segment. It renews the lease until the segment is finished. */
export interface SegmentLease {
  readonly id: string;
  readonly untilMs: number;
  /** Rendered part of the segment, 0–1. */
  readonly fraction: number;
}

/** A rendered segment. */
export interface FinishedSegment {
  /** Artifact key of its file. */
  readonly key: string;
  readonly leaseId: string;
  /** Time that no attempt has been charged for. */
  readonly workMs: number;
  readonly warnings: readonly Warning[];
  /** As in `Take`; lists of earlier versions lack it. */
  readonly modelPrecision?: string;
}

export interface StoredSegment extends TakeSegment {
  readonly lease: SegmentLease | null;
  readonly finished: FinishedSegment | null;
}

/** The segments of the take that a job makes. Stored as one document. */
export interface SegmentList {
  readonly jobId: string;
  /** Part of the names of its files. */
  readonly id: string;
  /** Digest of what decides the frames of the take; a run with another one does not use the list. */
  readonly binding: string;
  /** Number of the run of the job that owns the list: the latest one that has used it. Earlier versions store none. */
  readonly run?: number;
  /** Only workers with this engine render its segments. */
  readonly engineVersion: string;
  readonly provider: ProviderId;
  readonly request: SharedRequest;
  /** Trace of the run that made the list; null without one. */
  readonly traceparent: string | null;
  readonly segments: readonly StoredSegment[];
  /** Artifact keys of all files that may exist for it. */
  readonly keys: readonly string[];
  /** After a failed attempt, until the worker of the job leases a segment again: other workers begin none. */
  readonly isPaused?: boolean;
}

/** The files that all segments of a list are rendered from, besides the clip. */
export const sharedFiles = ['track', 'curve', 'speech'] as const;
export type SharedFile = (typeof sharedFiles)[number];

/** Artifact key of the clip: inputs are stored under the hash of their content. */
export function clipKeyOf({ clipDigest }: Pick<TakeRequest, 'clipDigest'>): string {
  return `inputs/${clipDigest}`;
}

/** Artifact key of a file that all segments need. */
export function sharedKeyOf({ jobId, id }: Pick<SegmentList, 'jobId' | 'id'>, file: SharedFile): string {
  return `outputs/${jobId}/segments-${id}-${file}`;
}

/** Artifact key of the file that the holder of a lease makes. */
export function segmentKeyOf({ jobId, id }: Pick<SegmentList, 'jobId' | 'id'>, leaseId: string): string {
  return `outputs/${jobId}/segment-${id}-${leaseId}.mp4`;
}

export function frameCountOf({ start, end }: TakeSegment): number {
  return end - start;
}

/** Number of segments that are not finished. */
export function countOpen({ segments }: SegmentList): number {
  return segments.filter(({ finished }) => !finished).length;
}

/** Rendered part of all frames, 0–1. */
export function renderedPart({ segments }: SegmentList): number {
  const total = segments.reduce((sum, segment) => sum + frameCountOf(segment), 0);
  const rendered = segments.reduce(
    (sum, segment) => sum + frameCountOf(segment) * (segment.finished ? 1 : (segment.lease?.fraction ?? 0)),
    0,
  );
  return rendered / total;
}

const frame = z.int().nonnegative();
const warning = z.looseObject({ code: z.string(), message: z.string() });

/** Only this service writes lists; the schema detects those of other versions. */
const segmentListSchema = z.object({
  jobId: z.string(),
  id: z.string(),
  binding: z.string(),
  run: z.int().nonnegative().optional(),
  engineVersion: z.string(),
  provider: z.string(),
  request: z.looseObject({ clipDigest: z.string() }),
  traceparent: z.string().nullable(),
  segments: z.array(
    z.object({
      start: frame,
      end: frame,
      warmUpFrames: frame,
      lease: z.object({ id: z.string(), untilMs: z.number(), fraction: z.number() }).nullable(),
      finished: z
        .object({
          key: z.string(),
          leaseId: z.string(),
          workMs: z.number(),
          warnings: z.array(warning),
          modelPrecision: z.string().optional(),
        })
        .nullable(),
    }),
  ),
  keys: z.array(z.string()),
  isPaused: z.boolean().optional(),
});

/** Whether a later run than `run` owns the list: the run with that number was superseded. */
export function isOwnedLater(list: Pick<SegmentList, 'run'>, run = 0): boolean {
  return (list.run ?? 0) > run;
}

/** Reads a stored list; undefined for one that another version has stored in another form. */
export function parseSegmentList(document: unknown): SegmentList | undefined {
  const { data } = segmentListSchema.safeParse(document);
  // `as`: the schema checks all but the contents of the request, which a worker of the same engine version has written.
  return data as SegmentList | undefined;
}

/** The files that a stored list of any version names. */
export function keysOf(document: unknown): readonly string[] {
  return z.looseObject({ keys: z.array(z.string()) }).safeParse(document).data?.keys ?? [];
}
