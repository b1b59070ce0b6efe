import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const timeLimitMs = 120_000;
const maxOutputBytes = 1_048_576;

/** Runs ffmpeg or ffprobe to its end and returns what it printed. Killed when `signal` aborts or two minutes are over. */
export async function runProgram(
  program: 'ffmpeg' | 'ffprobe',
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const { stdout } = await run(program, [...args], {
    signal,
    timeout: timeLimitMs,
    killSignal: 'SIGKILL',
    maxBuffer: maxOutputBytes,
  });
  return stdout;
}
