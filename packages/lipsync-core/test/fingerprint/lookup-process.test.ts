import { fork } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished, vi } from 'vitest';
import { descendantsOf, processTable } from '../../src/testing/process-table.ts';
import { limits, temporaryFolder } from '../media/make-media.ts';

const entry = fileURLToPath(new URL('../../src/fingerprint/lookup-process.ts', import.meta.url));
const patient = { timeout: 10_000, interval: 20 };

it('The end of the parent ends the process and its ffmpeg processes.', async () => {
  const folder = await temporaryFolder();
  const probe = join(folder, 'ffprobe');
  await writeFile(probe, '#!/bin/sh\nexec sleep 60\n');
  await chmod(probe, 0o755);
  // oxlint-disable-next-line node/no-process-env -- passed on, not read
  const env = { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH']}` };
  const path = join(folder, 'clip.mp4');
  await writeFile(path, 'a clip');
  const child = fork(entry, [path, JSON.stringify(limits)], { detached: true, env, execArgv: [] });
  const pid = child.pid ?? 0;
  const pids: number[] = [];
  onTestFinished(() => {
    const isRunning = (row: { readonly pid: number }): boolean => pids.includes(row.pid);
    for (const row of processTable().filter(isRunning)) process.kill(row.pid, 'SIGKILL');
  });
  await vi.waitFor(() => {
    const programs = descendantsOf(pid).filter(({ command }) => command === 'sleep 60');
    pids.splice(0, Infinity, pid, ...programs.map((row) => row.pid));
    expect(programs.length).toBeGreaterThan(0);
  }, patient);
  // Its channel closes as when the parent is killed.
  child.disconnect();
  await vi.waitFor(() => {
    const running = processTable().filter((row) => pids.includes(row.pid) && row.command !== '');
    expect(running).toEqual([]);
  }, patient);
});
