import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface ProcessPlan {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Time between SIGTERM and SIGKILL. */
  readonly stopGraceMs: number;
  /** Delay before the process is stopped after the launcher was killed. Redis stops after its clients. */
  readonly orphanDelayS: number;
  readonly onLine: (line: string) => void;
  /** Receives messages about what the launcher does with the process. */
  readonly onEvent: (text: string) => void;
}

export interface GuardedProcess {
  readonly pid: number;
  /** Last lines of output, for error messages. */
  readonly lastLines: readonly string[];
  /** Resolves with a description of the exit; never rejects. */
  readonly exited: Promise<string>;
  /** Sends SIGTERM, and SIGKILL to the process group after the grace period. Resolves when the process has exited. */
  stop(): Promise<void>;
}

const maxLastLines = 12;

/**
 * Waits until its stdin closes, which happens however the launcher ends, then stops the process. Needed because Redis
 * cannot watch its parent process.
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
 * Starts a process in its own process group, so that Control-C reaches only the launcher, which stops processes in
 * order. A guard stops the process if the launcher is killed. When the process exits, the rest of its group is killed.
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
      if (lastLines.push(line) > maxLastLines) lastLines.shift();
      plan.onLine(line);
    });
  }
  const exitedWithGroup = exited.then((end) => {
    guard.kill('SIGKILL');
    killGroup(pid);
    return end;
  });
  return {
    pid,
    lastLines,
    exited: exitedWithGroup,
    stop: () => stopGracefully(child, pid, exitedWithGroup, plan.stopGraceMs),
  };
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

async function stopGracefully(
  child: ChildProcess,
  pid: number,
  exited: Promise<string>,
  graceMs: number,
): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => killGroup(pid), graceMs);
  await exited;
  clearTimeout(timer);
}

/** Safe against reuse: the id of a process group stays reserved while the group has members. */
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
