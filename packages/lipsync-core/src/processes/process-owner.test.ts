import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { expect, it, onTestFinished } from 'vitest';
import { isGone, thisProcess } from './process-owner.ts';

it('A running process is not gone, but a process with its id and another start time is.', async () => {
  const self = await thisProcess();
  expect(await isGone(self)).toBe(false);
  expect(await isGone({ ...self, startTicks: (self.startTicks ?? 0) - 1 })).toBe(true);
});

it('A zombie process counts as gone before its parent collects it.', async () => {
  const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void parent.kill('SIGKILL'));
  const [output]: unknown[] = await once(parent.stdout.setEncoding('utf8'), 'data');
  const pid = Number(output);
  await expect.poll(() => readFile(`/proc/${pid}/stat`, 'utf8')).toMatch(/\) Z /);
  expect(await isGone({ ...(await thisProcess()), pid, startTicks: null })).toBe(true);
});

it('A process of another host never counts as gone.', async () => {
  expect(await isGone({ pid: 1, startTicks: 1, host: 'elsewhere' })).toBe(false);
});
