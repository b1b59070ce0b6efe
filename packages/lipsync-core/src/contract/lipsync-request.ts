import { z } from 'zod';
import { heygenModes, methods, optimizations, silenceModes, syncModes } from './vocabulary.ts';

const maxMetadataBytes = 16_384;
const maxMetadataDepth = 20;

/** A time inside a clip: an hour is the longest default, ten hours the most that any setting allows. */
const clipTimeMs = z.int().min(0).max(36_000_000);

/**
 * The optional fields of a lip-sync request, in TypeScript's spelling. HTTP, the CLI and programs all parse with this
 * schema; unknown fields are refused.
 */
export const lipsyncOptionsSchema = z
  .strictObject({
    method: z.enum(methods).default('auto'),
    optimize: z.enum(optimizations).default('quality'),
    heygenMode: z.enum(heygenModes).default('speed'),
    syncMode: z.enum(syncModes).default('loop'),
    silenceMode: z.enum(silenceModes).default('close'),
    /** Window of the clip to use. */
    startMs: clipTimeMs.optional(),
    endMs: clipTimeMs.optional(),
    /** The most that all attempts together may cost. */
    maxCostUsd: z.number().min(0).max(10_000).optional(),
    allowPreview: z.boolean().default(false),
    /** Counted from acceptance. */
    deadlineMs: z.int().min(1_000).max(86_400_000).optional(),
    /** 0 (first) to 10 (last). */
    priority: z.int().min(0).max(10).default(5),
    userId: z.string().min(1).max(200).optional(),
    metadata: z
      .record(z.string().max(100), z.unknown())
      .refine((value) => isNoDeeperThan(value, maxMetadataDepth), {
        message: `must not be nested deeper than ${maxMetadataDepth} levels`,
        // What comes next walks the value recursively, which a deep one would not survive.
        abort: true,
      })
      .refine((value) => Buffer.byteLength(JSON.stringify(value)) <= maxMetadataBytes, {
        message: `must be at most ${maxMetadataBytes} bytes as JSON`,
      })
      .default({}),
  })
  .refine(({ startMs, endMs }) => startMs === undefined || endMs === undefined || startMs < endMs, {
    path: ['endMs'],
    message: 'must be later than the start of the window',
  });

/** Options with every default filled in. */
export type LipsyncOptions = z.output<typeof lipsyncOptionsSchema>;

/** Options as a caller may give them. */
export type LipsyncOptionsInput = z.input<typeof lipsyncOptionsSchema>;

/** Looks level by level instead of recursively, and never below the limit: depth is the caller's choice. */
function isNoDeeperThan(value: object, maxDepth: number): boolean {
  let level: readonly object[] = [value];
  for (let depth = 0; depth < maxDepth && level.length > 0; depth += 1) {
    level = level.flatMap((container) => Object.values(container).filter(isContainer));
  }
  return level.length === 0;
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
