import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { expect, it, onTestFinished } from 'vitest';
import { isGone, thisProcess } from './process-owner.ts';

it('a process that runs is not gone, one that began at another time under its number is', async () => {
  const self = await thisProcess();
  expect(await isGone(self)).toBe(false);
  expect(await isGone({ ...self, startTicks: (self.startTicks ?? 0) - 1 })).toBe(true);
});

it('a process is gone when it has ended, though its parent has not asked how', async () => {
  const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void parent.kill('SIGKILL'));
  const [said]: unknown[] = await once(parent.stdout.setEncoding('utf8'), 'data');
  const pid = Number(said);
  await expect.poll(() => readFile(`/proc/${pid}/stat`, 'utf8')).toMatch(/\) Z /);
  expect(await isGone({ ...(await thisProcess()), pid, startTicks: null })).toBe(true);
});

it('of processes of other hosts nothing is known', async () => {
  expect(await isGone({ pid: 1, startTicks: 1, host: 'elsewhere' })).toBe(false);
});
