import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const timeLimitMs = 120_000;
const maxOutputBytes = 256 * 1024 * 1024;

/** Runs ffmpeg and returns its binary output and its log. Rejects when it fails. */
export async function ffmpeg(...args: readonly string[]): Promise<{ readonly output: Buffer; readonly log: string }> {
  const { stdout, stderr } = await execute('ffmpeg', ['-nostdin', '-hide_banner', '-y', ...args], {
    encoding: 'buffer',
    maxBuffer: maxOutputBytes,
    timeout: timeLimitMs,
  });
  return { output: stdout, log: stderr.toString() };
}

/** Returns one entry of ffprobe per line. */
export async function ffprobe(...args: readonly string[]): Promise<string> {
  const { stdout } = await execute('ffprobe', ['-v', 'error', '-of', 'csv=p=0', ...args], { timeout: timeLimitMs });
  return stdout.trim();
}
