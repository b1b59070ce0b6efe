import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);
/** Allows a few minutes of video on a busy machine. */
const drawTimeoutMs = 600_000;
const script = join(import.meta.dirname, 'draw-mouth.ts');

/** Exit code of the script for a clip without a visible face. */
export const noFaceExitCode = 3;

/** The clip shows no face whose lips could be drawn. */
export class NoFaceError extends Error {
  override readonly name = 'NoFaceError';
}

export interface MovingMouthRequest {
  readonly videoPath: string;
  readonly audioPath: string;
  readonly outputPath: string;
  /** Holds the state of the drawing process; the caller deletes it. */
  readonly workFolder: string;
}

/**
 * Draws the lips of the video along the audio with the product's preview provider, in a process of its own that is
 * killed when the signal aborts or after ten minutes. Throws `NoFaceError`, the error of the process, or the reason of
 * the aborted signal.
 */
export async function drawMovingMouth(request: MovingMouthRequest, signal: AbortSignal): Promise<void> {
  const { videoPath, audioPath, outputPath, workFolder } = request;
  try {
    await execFileAsync(process.execPath, [script, videoPath, audioPath, outputPath, workFolder], {
      // A folder without a .env file.
      cwd: workFolder,
      signal,
      timeout: drawTimeoutMs,
      killSignal: 'SIGKILL',
    });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && 'code' in error && error.code === noFaceExitCode)
      throw new NoFaceError('No face was found.', { cause: error });
    throw error;
  }
}
