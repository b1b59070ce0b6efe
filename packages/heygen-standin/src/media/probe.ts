import { z } from 'zod';
import { runProgram } from './run-program.ts';

/** What matters of a file; lengths in milliseconds, null where the file has no such stream. */
export interface MediaFacts {
  readonly videoMs: number | null;
  readonly audioMs: number | null;
}

const nothing: MediaFacts = { videoMs: null, audioMs: null };

const reportSchema = z.object({
  streams: z.array(z.object({ codec_type: z.string().optional(), duration: z.string().optional() })),
  format: z.object({ duration: z.string().optional() }),
});

/** The streams of a file. A file that cannot be read has none. Throws only when `signal` aborts. */
export async function probeMedia(path: string, signal: AbortSignal): Promise<MediaFacts> {
  try {
    const args = [
      '-v',
      'error',
      '-protocol_whitelist',
      'file',
      '-of',
      'json',
      '-show_entries',
      'format=duration:stream=codec_type,duration',
      '-i',
      `file:${path}`,
    ];
    const report = reportSchema.parse(JSON.parse(await runProgram('ffprobe', args, signal)));
    return { videoMs: lengthOf(report, 'video'), audioMs: lengthOf(report, 'audio') };
  } catch {
    signal.throwIfAborted();
    return nothing;
  }
}

function lengthOf({ streams, format }: z.output<typeof reportSchema>, type: 'audio' | 'video'): number | null {
  const stream = streams.find(({ codec_type }) => codec_type === type);
  const seconds = Number(stream?.duration ?? format.duration);
  return stream === undefined || !Number.isFinite(seconds) ? null : Math.round(seconds * 1000);
}
