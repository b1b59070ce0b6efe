import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { descendantsOf } from '../../packages/lipsync-core/src/testing/process-table.ts';

const startLimitMs = 120_000;
const stopLimitMs = 30_000;
const maxLines = 40;

export interface RevisionStackOptions {
  /** Checkout of the revision, with its packages installed. */
  readonly projectDir: string;
  readonly port: number;
  readonly environment: Readonly<Record<string, string>>;
}

/** `npm start` of any revision: API and worker as descendants of one process. */
export class RevisionStack {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];

  constructor({ projectDir, port, environment }: RevisionStackOptions) {
    this.url = `http://127.0.0.1:${port}`;
    this.#child = spawn(process.execPath, [join(projectDir, 'scripts', 'start.ts')], {
      cwd: projectDir,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        HOST: '127.0.0.1',
        PORT: String(port),
        PUBLIC_BASE_URL: '',
        LIPSYNC_API_KEYS: '',
        ...environment,
      },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.#lines.push(...chunk.toString().split('\n'));
        this.#lines.splice(0, this.#lines.length - maxLines);
      });
  }

  /** Resolves when the API is ready. Throws with the last log lines when the stack ends or takes too long. */
  async ready(): Promise<void> {
    const deadlineMs = performance.now() + startLimitMs;
    while (performance.now() < deadlineMs && this.#child.exitCode === null) {
      const response = await fetch(`${this.url}/ready`).catch(() => undefined);
      if (response?.ok) return;
      await sleep(200);
    }
    throw new Error(`The stack did not start:\n${this.#lines.join('\n')}`);
  }

  /** Kills the process and all its descendants with SIGKILL; none of them can react to the end of another. */
  async kill(): Promise<void> {
    const root = this.#child.pid ?? 0;
    const exited = once(this.#child, 'exit');
    // Stopped first: a guard that sees its parent die must not end the rest gracefully.
    for (const signal of ['SIGSTOP', 'SIGKILL'] as const)
      for (const pid of [...descendantsOf(root).map((row) => row.pid), root]) sendSignal(pid, signal);
    await exited;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await Promise.race([exited, sleep(stopLimitMs)]);
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill();
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // The process ended meanwhile.
  }
}
