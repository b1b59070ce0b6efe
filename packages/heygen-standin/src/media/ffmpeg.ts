import { execFile } from 'node:child_process';
import { rename } from 'node:fs/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { MouthMode } from '../settings.ts';

const execFileAsync = promisify(execFile);
const programTimeoutMs = 120_000;
const maxOutputBytes = 1024 ** 2;

/** Stream durations in milliseconds; null without such a stream. */
export interface MediaFacts {
  readonly videoMs: number | null;
  readonly audioMs: number | null;
}

const reportSchema = z.object({
  streams: z.array(z.object({ codec_type: z.string().optional(), duration: z.string().optional() })),
  format: z.object({ duration: z.string().optional() }),
});

/** Probes a file. A file that cannot be read has no streams. Throws only when the signal aborts. */
export async function probeMedia(path: string, signal: AbortSignal): Promise<MediaFacts> {
  const entries = 'format=duration:stream=codec_type,duration';
  const args = ['-v', 'error', '-protocol_whitelist', 'file', '-of', 'json', '-show_entries', entries];
  try {
    const output = await runProgram('ffprobe', [...args, '-i', `file:${path}`], signal);
    const report = reportSchema.parse(JSON.parse(output));
    return { videoMs: durationOf(report, 'video'), audioMs: durationOf(report, 'audio') };
  } catch {
    signal.throwIfAborted();
    return { videoMs: null, audioMs: null };
  }
}

function durationOf({ streams, format }: z.output<typeof reportSchema>, type: 'audio' | 'video'): number | null {
  const stream = streams.find(({ codec_type }) => codec_type === type);
  const seconds = Number(stream?.duration ?? format.duration);
  return stream === undefined || !Number.isFinite(seconds) ? null : Math.round(seconds * 1000);
}

export interface MarkedVideoRequest {
  readonly videoPath: string;
  readonly audioPath: string;
  readonly outputPath: string;
  /** Of the output: the last frame is held or the video cut, the sound padded or cut. */
  readonly durationMs: number;
  /** Otherwise videos above 720 lines are scaled down, as HeyGen does by default. */
  readonly keepSize: boolean;
  /** `frozen` holds the first picture; `shifted` delays the sound. */
  readonly mouth: MouthMode;
}

/** 8 frames at 25 per second. */
const soundDelayMs = 320;

/** A magenta bar in the upper left corner, so that the output cannot be mistaken for a lip-synced video. */
const marker = 'drawbox=x=iw/50:y=ih/50:w=iw/4:h=ih/12:color=magenta:t=fill';

/**
 * Combines video and audio into a marked MP4 that appears at `outputPath` only when it is complete. Throws the error of
 * ffmpeg, or the reason of the aborted signal.
 */
export async function renderMarkedVideo(request: MarkedVideoRequest, signal: AbortSignal): Promise<void> {
  const { videoPath, audioPath, outputPath, durationMs, keepSize, mouth } = request;
  const seconds = (durationMs / 1000).toFixed(3);
  const height = keepSize ? 'trunc(ih/2)*2' : 'trunc(min(ih\\,720)/2)*2';
  const scale = `scale=w='trunc(iw*(${height})/ih/2)*2':h='${height}'`;
  const picture = mouth === 'frozen' ? 'trim=end_frame=1,' : '';
  const video = `[0:v:0]${picture}${scale},${marker},tpad=stop_mode=clone:stop_duration=${seconds},format=yuv420p[v]`;
  const delay = mouth === 'shifted' ? `adelay=${soundDelayMs}:all=1,` : '';
  const audio = `[1:a:0]${delay}apad=whole_dur=${seconds}[a]`;
  const input = (path: string): string[] => ['-protocol_whitelist', 'file', '-i', `file:${path}`];
  const partPath = `${outputPath}.part`;
  const options = ['-v', 'error', '-nostdin', '-y', '-threads', '1'];
  const filter = ['-filter_complex', `${video};${audio}`, '-map', '[v]', '-map', '[a]', '-t', seconds];
  const encoding = ['-c:v', 'libx264', '-preset', 'ultrafast', '-threads', '1', '-c:a', 'aac', '-b:a', '128k'];
  const output = ['-movflags', '+faststart', '-f', 'mp4', `file:${partPath}`];
  const args = [...options, ...input(videoPath), ...input(audioPath), ...filter, ...encoding, ...output];
  await runProgram('ffmpeg', args, signal);
  await rename(partPath, outputPath);
}

/** Runs a program to its end and returns its output. Kills it when the signal aborts or after two minutes. */
async function runProgram(
  program: 'ffmpeg' | 'ffprobe',
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const { stdout } = await execFileAsync(program, [...args], {
    signal,
    timeout: programTimeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: maxOutputBytes,
  });
  return stdout;
}
