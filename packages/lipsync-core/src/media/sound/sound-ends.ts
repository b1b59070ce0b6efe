import { stat } from 'node:fs/promises';
import { measureMissingMs } from '../containers/declared-duration.ts';
import type { ProbedStream, ProbeReport } from '../ffprobe.ts';
import { endsWithinFrame } from '../containers/frame-tail.ts';
import { describeMissing } from '../input-checks.ts';
import { measureW64MissingMs } from '../containers/open-ended-sound.ts';
import { isTruncatedFile } from '../containers/truncated-file.ts';
import { readWavLayout } from '../containers/wav-layout.ts';

/** What a sound file lacks at its end, and what it holds behind it. */
export interface SoundEnds {
  /** What a truncated file lacks; absent when nothing is known to be missing. */
  readonly missing?: string;
  /** Milliseconds of data behind the end that the header states, which players leave out; absent without any. */
  readonly unusedMs?: number;
}

export interface DecodedFile {
  readonly stream: ProbedStream;
  readonly report: ProbeReport;
  readonly actualMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Sizes in headers differ by a few samples from the real ones. */
const toleranceMs = 20;
/** Shorter remains behind the samples are not worth a warning. */
const shortestUnusedMs = 100;

/** Compares the end of a sound file with what it declares, or with the frames or pages that it consists of. */
export async function findSoundEnds(path: string, file: DecodedFile): Promise<SoundEnds> {
  const { format_name: format } = file.report.format;
  if (format === 'wav') return findWavEnds(path, file.signal);
  if (format === 'w64') return describeLack(await measureW64MissingMs(path));
  const missing = describeMissing(await measureMissingMs(path, file));
  if (missing.missing !== undefined || !(await endsEarly(path, format, file.signal))) return missing;
  return { missing: 'the end of its last packet' };
}

/** Milliseconds are derived from the stated byte rate. */
async function findWavEnds(path: string, signal?: AbortSignal): Promise<SoundEnds> {
  const { size } = await stat(path);
  const { parts, unknownBytes } = await readWavLayout(path, signal);
  const last = parts.at(-1);
  if (!last || last.bytesPerSecond === 0) return {};
  const toMs = (bytes: number): number => (bytes * 1000) / last.bytesPerSecond;
  const missingMs = toMs(Math.max(0, last.samplesStart + last.statedBytes - size));
  const unusedMs = toMs(unknownBytes);
  return {
    ...describeLack(missingMs),
    ...(unusedMs >= shortestUnusedMs ? { unusedMs } : {}),
  };
}

function describeLack(missingMs: number): SoundEnds {
  return describeMissing(missingMs > toleranceMs ? missingMs : 0);
}

/** Formats without a stated length: the last packet shows whether the file was cut. */
async function endsEarly(path: string, format: string, signal?: AbortSignal): Promise<boolean> {
  return (await endsWithinFrame(path, format)) ?? isTruncatedFile(path, format, signal);
}
