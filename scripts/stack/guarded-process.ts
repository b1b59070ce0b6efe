import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface ProcessPlan {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment: NodeJS.ProcessEnv;
  /** How long the process may take to stop after a polite signal. */
  readonly stopGraceMs: number;
  /** How long the process lives on when the launcher is killed: Redis outlives those who still write to it. */
  readonly orphanDelayS: number;
  readonly onLine: (line: string) => void;
  /** What the launcher itself does about the process, in words. */
  readonly onEvent: (text: string) => void;
}

export interface GuardedProcess {
  readonly pid: number;
  /** The last lines it printed, for a message about its failure. */
  readonly lastLines: readonly string[];
  /** Resolves when the process is gone, with how it ended in words; never rejects. */
  readonly exited: Promise<string>;
  /** Asks politely, then kills the whole group after the grace period. Resolves when nothing of it is left. */
  stop(): Promise<void>;
}

const mostLinesKept = 12;

/**
 * Waits for the launcher's end of its input to close, which the system does however the launcher dies, then ends the
 * process. Redis has no way to watch a parent by itself, and the others get the same treatment for free.
 */
const guardScript = `
read -r _
sleep "$2"
kill -TERM "$1" 2>/dev/null || exit 0
tenths=0
while kill -0 "$1" 2>/dev/null; do
  [ "$tenths" -ge "$3" ] && break
  tenths=$((tenths + 1))
  sleep 0.1
done
kill -KILL "-$1" 2>/dev/null
exit 0
`;

/**
 * Starts a process in a group of its own (so that Control-C reaches it through the launcher, in order) with a guard
 * that ends it should the launcher be killed. Whatever the process leaves behind in its group is killed when it ends.
 * Throws when the program cannot be started.
 */
export async function startGuarded(plan: ProcessPlan): Promise<GuardedProcess> {
  const child = spawn(plan.program, plan.args, {
    cwd: plan.cwd,
    env: plan.environment,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = exitOf(child);
  const pid = await startedPid(child, plan.program);
  const guard = startGuard(pid, plan);
  const lastLines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
      if (lastLines.push(line) > mostLinesKept) lastLines.shift();
      plan.onLine(line);
    });
  }
  const gone = exited.then((end) => {
    guard.kill('SIGKILL');
    killGroup(pid);
    return end;
  });
  return { pid, lastLines, exited: gone, stop: () => stopPolitely(child, pid, gone, plan.stopGraceMs) };
}

function startedPid(child: ChildProcess, program: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', (cause) => reject(new Error(`Could not start ${program}.`, { cause })));
  child.once('spawn', () => {
    if (child.pid === undefined) reject(new Error(`Could not start ${program}.`));
    else resolve(child.pid);
  });
  return promise;
}

function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('exit', (status, signal) => resolve(signal === null ? `exit status ${status}` : `signal ${signal}`));
  });
}

function startGuard(pid: number, plan: ProcessPlan): ChildProcess {
  const graceTenths = Math.ceil(plan.stopGraceMs / 100);
  const args = ['-c', guardScript, 'guard', String(pid), String(plan.orphanDelayS), String(graceTenths)];
  const guard = spawn('/bin/sh', args, { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  guard.unref();
  return guard;
}

async function stopPolitely(child: ChildProcess, pid: number, gone: Promise<string>, graceMs: number): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => killGroup(pid), graceMs);
  await gone;
  clearTimeout(timer);
}

/** A group keeps its number reserved while it has members, so this cannot hit a stranger. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!isNoSuchProcess(error)) throw error;
  }
}

function isNoSuchProcess(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ESRCH';
}
