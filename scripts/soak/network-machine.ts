import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { forwardTcp } from './tcp-forward.ts';

const run = promisify(execFile);
const ip = async (...args: readonly string[]): Promise<string> => (await run('ip', args)).stdout;
const subnet = '10.244.44';
const gateway = `${subnet}.1`;
const readyLimitMs = 120_000;
const stopLimitMs = 60_000;

/** Whether this process may create network namespaces, and `ip` is installed. */
export async function canSimulateMachines(): Promise<boolean> {
  const name = `lipsync-probe-${process.pid}`;
  return ip('netns', 'add', name).then(
    () => ip('netns', 'delete', name).then(() => true),
    () => false,
  );
}

/**
 * A network of simulated machines. Each reaches `ports` of the host's loopback at its own 127.0.0.1.
 * The caller closes it.
 */
export class Network {
  readonly ports: readonly number[];
  readonly #bridge = `lipsync${process.pid % 10_000}`;
  readonly #servers: Server[] = [];
  readonly #machines: Machine[] = [];

  constructor(ports: readonly number[]) {
    this.ports = ports;
  }

  async open(): Promise<void> {
    await ip('link', 'add', this.#bridge, 'type', 'bridge');
    await ip('address', 'add', `${gateway}/24`, 'dev', this.#bridge);
    await ip('link', 'set', this.#bridge, 'up');
    for (const port of this.ports) this.#servers.push(await forwardTcp(`${gateway}:${port}`, `127.0.0.1:${port}`));
  }

  /** Adds a machine. Its loopback port `servedPort` is reachable at 127.0.0.1 of the host. */
  async add(name: string, servedPort?: number): Promise<Machine> {
    const index = this.#machines.length + 2;
    const machine = new Machine({ name, index, bridge: this.#bridge, ports: this.ports, servedPort });
    this.#machines.push(machine);
    await machine.open();
    if (servedPort !== undefined)
      this.#servers.push(await forwardTcp(`127.0.0.1:${servedPort}`, `${machine.address}:${servedPort}`));
    return machine;
  }

  async close(): Promise<void> {
    for (const machine of this.#machines) await machine.close();
    for (const server of this.#servers) server.close();
    await ip('link', 'delete', this.#bridge).catch(() => undefined);
  }
}

interface MachineOptions {
  readonly name: string;
  readonly index: number;
  readonly bridge: string;
  readonly ports: readonly number[];
  readonly servedPort: number | undefined;
}

/** An app in a network namespace of its own. */
export class Machine {
  readonly address: string;
  readonly #options: MachineOptions;
  readonly #namespace: string;
  readonly #link: string;
  #app: ChildProcess | undefined;
  #lines: string[] = [];

  constructor(options: MachineOptions) {
    this.#options = options;
    this.address = `${subnet}.${options.index}`;
    this.#namespace = `lipsync-${process.pid}-${options.name}`;
    this.#link = `lip${process.pid % 10_000}v${options.index}`;
  }

  async open(): Promise<void> {
    const inside = `${this.#link}i`;
    await ip('netns', 'add', this.#namespace);
    await ip('link', 'add', this.#link, 'type', 'veth', 'peer', 'name', inside, 'netns', this.#namespace);
    await ip('link', 'set', this.#link, 'master', this.#options.bridge, 'up');
    await ip('-n', this.#namespace, 'address', 'add', `${this.address}/24`, 'dev', inside);
    await ip('-n', this.#namespace, 'link', 'set', inside, 'up');
    await ip('-n', this.#namespace, 'link', 'set', 'lo', 'up');
  }

  /** Starts an app of the project in `projectDir`; resolves when it is ready. Throws with its last lines otherwise. */
  async start(app: 'api' | 'worker', { projectDir, folder, environment }: AppOptions): Promise<void> {
    await mkdir(folder, { recursive: true });
    const { ports, servedPort } = this.#options;
    const pairs = ports.map((port) => `127.0.0.1:${port}=${gateway}:${port}`);
    if (servedPort !== undefined) pairs.push(`${this.address}:${servedPort}=127.0.0.1:${servedPort}`);
    const forwarder = this.#spawn([join(import.meta.dirname, 'tcp-forward.ts'), ...pairs], folder, {});
    await waitForOutput(forwarder, 'forwarding', []);
    this.#lines = [];
    const main = join(projectDir, 'apps', app, 'src', 'main.ts');
    this.#app = this.#spawn([main], folder, environment);
    await waitForOutput(this.#app, '"ready":true', this.#lines);
  }

  /** Sends SIGTERM to the app and waits for its end, then kills what is left. */
  async stop(): Promise<void> {
    const app = this.#app;
    if (app && app.exitCode === null && app.signalCode === null) {
      app.kill('SIGTERM');
      await Promise.race([once(app, 'exit'), sleep(stopLimitMs, undefined, { ref: false })]);
    }
    await this.kill();
  }

  /** Kills all processes of the machine at once, without a chance to react. */
  async kill(): Promise<void> {
    const list = async (): Promise<readonly number[]> =>
      (await ip('netns', 'pids', this.#namespace)).split('\n').filter(Boolean).map(Number);
    for (let pids = await list(); pids.length > 0; pids = await list()) {
      for (const signal of ['SIGSTOP', 'SIGKILL'] as const) for (const pid of pids) sendSignal(pid, signal);
      await sleep(50);
    }
  }

  /** Loses every packet from and to the machine for `ms`. */
  async cutOff(ms: number): Promise<void> {
    await ip('link', 'set', this.#link, 'down');
    await sleep(ms);
    await ip('link', 'set', this.#link, 'up');
  }

  async close(): Promise<void> {
    await this.kill().catch(() => undefined);
    await ip('link', 'delete', this.#link).catch(() => undefined);
    await ip('netns', 'delete', this.#namespace).catch(() => undefined);
  }

  #spawn(args: readonly string[], cwd: string, environment: Readonly<Record<string, string>>): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.#namespace, process.execPath, ...args], {
      cwd,
      env: { PATH: process.env['PATH'], ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }
}

export interface AppOptions {
  readonly projectDir: string;
  /** Working folder of the machine. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

async function waitForOutput(child: ChildProcess, text: string, lines: string[]): Promise<void> {
  const ready = Promise.withResolvers<void>();
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      lines.push(chunk.toString());
      lines.splice(0, lines.length - 20);
      if (chunk.includes(text)) ready.resolve();
    });
  const ended = once(child, 'exit').then(() => 'it ended');
  const late = sleep(readyLimitMs, 'it took too long', { ref: false });
  const failure = await Promise.race([ready.promise, ended, late]);
  if (failure !== undefined) throw new Error(`A machine did not start: ${failure}.\n${lines.join('')}`);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // The process ended meanwhile.
  }
}
