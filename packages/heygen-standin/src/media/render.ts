import { rename } from 'node:fs/promises';
import { runProgram } from './run-program.ts';

export interface RenderRequest {
  readonly videoPath: string;
  readonly audioPath: string;
  readonly outputPath: string;
  /** Of the output: the picture is held or cut, the sound padded or cut. */
  readonly durationMs: number;
  /** Otherwise pictures above 720 lines are made smaller, as a vendor's default may. */
  readonly keepSize: boolean;
}

/** A bar in the upper left corner: nobody shall take a stand-in's video for a lip-synced one. */
const mark = 'drawbox=x=iw/50:y=ih/50:w=iw/4:h=ih/12:color=magenta:t=fill';

/**
 * Puts the audio under the video, with a visible mark, as MP4 at `outputPath`, which appears only when complete.
 * Throws what ffmpeg said, or the signal's error.
 */
export async function renderMarked(request: RenderRequest, signal: AbortSignal): Promise<void> {
  const { videoPath, audioPath, outputPath, durationMs, keepSize } = request;
  const seconds = (durationMs / 1000).toFixed(3);
  const height = keepSize ? 'trunc(ih/2)*2' : 'trunc(min(ih\\,720)/2)*2';
  const picture = `[0:v:0]scale=w='trunc(iw*(${height})/ih/2)*2':h='${height}',${mark},tpad=stop_mode=clone:stop_duration=${seconds},format=yuv420p[v]`;
  const input = (path: string): string[] => ['-protocol_whitelist', 'file', '-i', `file:${path}`];
  const partPath = `${outputPath}.part`;
  await runProgram(
    'ffmpeg',
    [
      '-v',
      'error',
      '-nostdin',
      '-y',
      '-threads',
      '1',
      ...input(videoPath),
      ...input(audioPath),
      '-filter_complex',
      `${picture};[1:a:0]apad=whole_dur=${seconds}[a]`,
      '-map',
      '[v]',
      '-map',
      '[a]',
      '-t',
      seconds,
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-threads',
      '1',
      '-c:a',
      'aac',
      '-b:a',
      '128k',
      '-movflags',
      '+faststart',
      '-f',
      'mp4',
      `file:${partPath}`,
    ],
    signal,
  );
  await rename(partPath, outputPath);
}
