import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { expect, it, onTestFinished, vi } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import { describeExit, ManagedChild, readProgramOutput, stopGraceMs } from '../../src/processes/managed-child.ts';
import { processTable } from '../../src/testing/process-table.ts';

const ignoreTerm = `trap '' TERM; echo ready; while :; do sleep 0.02; done`;

function startShell(script: string, signal?: AbortSignal): ManagedChild {
  const child = ManagedChild.startProgram({ file: 'sh', arguments: ['-c', script], signal });
  onTestFinished(async () => void (await child.kill()));
  return child;
}

/** A Node module of this source text as a managed child. */
async function startModule(source: string, environment?: Record<string, string>): Promise<ManagedChild> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-child-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'module.mjs');
  await writeFile(path, source);
  const child = ManagedChild.startModule({ entry: pathToFileURL(path), ...(environment && { environment }) });
  onTestFinished(async () => void (await child.kill()));
  return child;
}

function firstMessage(child: ManagedChild): Promise<unknown> {
  return new Promise((resolve) => void child.onMessage(resolve));
}

async function untilOutput(child: ManagedChild): Promise<void> {
  await new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()));
}

function isRunning(pid: number): boolean {
  return processTable().some((row) => row.pid === pid && !row.command.includes('<defunct>'));
}

it('A child that exits with code 0 before it is stopped reports exit code 0.', async () => {
  expect(await startShell('exit 0').closed).toEqual({ type: 'exited', exitCode: 0 });
});

it('A child that exits with a failure reports its exit code and the end of its standard error.', async () => {
  const child = startShell('echo broken >&2; exit 3');
  const exit = await child.closed;
  expect(exit).toEqual({ type: 'exited', exitCode: 3 });
  expect(describeExit(exit)).toBe('exit code 3');
  expect(child.stderrTail).toBe('broken');
});

it('A child that is killed by a signal reports the signal.', async () => {
  expect(await startShell('kill -SEGV $$').exited).toEqual({ type: 'signaled', signal: 'SIGSEGV' });
});

it('A child that hangs ends with SIGTERM when it is stopped.', async () => {
  const child = startShell('exec sleep 60');
  expect(await child.stop()).toEqual({ type: 'signaled', signal: 'SIGTERM' });
});

it('A child that ignores SIGTERM is killed when the grace period has passed.', async () => {
  const child = startShell(ignoreTerm);
  await untilOutput(child);
  const startedAtMs = performance.now();
  expect(await child.stop(200)).toEqual({ type: 'signaled', signal: 'SIGKILL' });
  expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(190);
});

it('A repeated stop resolves with the same exit and does not extend the grace period.', async () => {
  const child = startShell(ignoreTerm);
  await untilOutput(child);
  const startedAtMs = performance.now();
  const [first, second] = await Promise.all([child.stop(100), child.stop(20_000)]);
  expect(second).toEqual(first);
  expect(performance.now() - startedAtMs).toBeLessThan(10_000);
});

it('A program that does not exist reports spawn_failed, also after stop and kill.', async () => {
  const child = ManagedChild.startProgram({ file: '/nonexistent/program', arguments: [] });
  expect(await child.stop()).toMatchObject({ type: 'spawn_failed', error: { code: 'ENOENT' } });
  expect(await child.closed).toMatchObject({ type: 'spawn_failed' });
  expect(await child.kill()).toMatchObject({ type: 'spawn_failed' });
});

it('A flood of standard error neither blocks the child nor exceeds the tail limit.', async () => {
  const child = startShell('head -c 4000000 /dev/zero | tr "\\0" x >&2; echo last words >&2');
  expect(await child.closed).toEqual({ type: 'exited', exitCode: 0 });
  expect(child.stderrTail.length).toBeLessThanOrEqual(8_192);
  expect(child.stderrTail.endsWith('last words')).toBe(true);
});

it('An abort of the parent stops the child, and an aborted signal prevents the start.', async () => {
  const controller = new AbortController();
  const child = startShell('exec sleep 60', controller.signal);
  controller.abort(new LipsyncError('deadline_exceeded', 'Too late.'));
  expect(await child.exited).toEqual({ type: 'signaled', signal: 'SIGTERM' });
  expect(() => startShell('exit 0', controller.signal)).toThrow('Too late.');
});

it('A killed module takes the other processes of its group with it.', async () => {
  const child = await startModule(`
    import { spawn } from 'node:child_process';
    process.send(spawn('sleep', ['60']).pid);
    setInterval(() => undefined, 1_000);`);
  const grandchild = Number(await firstMessage(child));
  expect(isRunning(grandchild)).toBe(true);
  expect(await child.kill()).toEqual({ type: 'signaled', signal: 'SIGKILL' });
  await expect.poll(() => isRunning(grandchild)).toBe(false);
});

it('A module that exits by itself also takes the other processes of its group with it.', async () => {
  const child = await startModule(`
    import { spawn } from 'node:child_process';
    process.send(spawn('sleep', ['60'], { stdio: 'ignore' }).pid, () => process.exit(0));`);
  const grandchild = Number(await firstMessage(child));
  expect(await child.exited).toEqual({ type: 'exited', exitCode: 0 });
  await expect.poll(() => isRunning(grandchild)).toBe(false);
});

it('A child that has ended receives no more signals: its id may belong to another process.', async () => {
  const child = await startModule('process.exit(0);');
  const exit = await child.exited;
  const kill = vi.spyOn(process, 'kill');
  onTestFinished(() => kill.mockRestore());
  expect(await child.kill()).toEqual(exit);
  expect(await child.stop()).toEqual(exit);
  expect(kill).not.toHaveBeenCalled();
});

it('An exit listener is called once, also when it is added after the exit, and never after its removal.', async () => {
  const child = startShell('exit 0');
  const calls: string[] = [];
  child.onExit(() => calls.push('before'));
  child.onExit(() => calls.push('removed'))();
  await child.exited;
  child.onExit(() => calls.push('after'));
  await sleep(20);
  expect(calls).toEqual(['before', 'after']);
});

it('A module has its own variables besides those of its parent.', async () => {
  const source = 'process.send({ own: process.env.OWN_VARIABLE, inherited: process.env.PATH });';
  const child = await startModule(source, { OWN_VARIABLE: 'set' });
  expect(await firstMessage(child)).toEqual({ own: 'set', inherited: process.env['PATH'] });
});

it('A message to a module that has ended is dropped.', async () => {
  const child = await startModule('process.exit(0);');
  await child.exited;
  expect(() => child.send({ type: 'late' })).not.toThrow();
});

it('An inner grace period is shorter than the outer one by enough time to clean up.', () => {
  expect(stopGraceMs.program).toBeLessThan(stopGraceMs.renderProcess);
  expect(stopGraceMs.renderProcess - stopGraceMs.program).toBeGreaterThanOrEqual(1_000);
});

it('The output of a short program is undefined when it fails, is missing or exceeds its time limit.', async () => {
  expect(await readProgramOutput('sh', ['-c', 'echo 1.2.3'], 30_000)).toBe('1.2.3\n');
  expect(await readProgramOutput('sh', ['-c', 'echo 1.2.3; exit 1'], 30_000)).toBeUndefined();
  expect(await readProgramOutput('/nonexistent/program', [], 30_000)).toBeUndefined();
  expect(await readProgramOutput('sleep', ['60'], 50)).toBeUndefined();
});
