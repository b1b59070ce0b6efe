import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it, onTestFinished } from 'vitest';
import { readProcessMemory, roleOf } from './process-memory.ts';

it('A process is classified by its command line.', () => {
  expect(roleOf('/usr/bin/node\0/app/packages/lipsync-core/src/processes/render-process.ts\0')).toBe('render');
  expect(roleOf('node\0/app/wav2lip/engine/engine-process.js\0')).toBe('engine');
  expect(roleOf('/usr/bin/ffmpeg\0-i\0/data/render-process.mp4\0')).toBe('ffmpeg');
  expect(roleOf('ffprobe\0clip.mp4\0')).toBe('ffmpeg');
  expect(roleOf('sh\0-c\0ffmpeg\0')).toBe('other');
});

it.skipIf(process.platform !== 'linux')('The memory of descendants is summed by role.', async () => {
  const child = spawn('sh', ['-c', 'sleep 60 & echo started; wait'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  onTestFinished(() => void process.kill(-(child.pid ?? 0), 'SIGKILL'));
  await once(child.stdout, 'data');
  const memory = new Map((await readProcessMemory()).map(({ role, residentBytes }) => [role, residentBytes]));
  expect(memory.get('self')).toBeGreaterThan(10_000_000);
  expect(memory.get('other')).toBeGreaterThan(100_000);
});
