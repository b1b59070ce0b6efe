/**
 * `npm run bench -- accept REV [--pairs 5] [--seconds 8] [--connections 16]`: jobs that the API accepts per second on one
 * core, by URL with an `Idempotency-Key` each, against those that a revision accepts without keys, in turn; Redis commands
 * per accept; memory per event stream.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { request, type ClientRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { checkOut, exitOf } from '../lib/check-out.ts';
import { processorSeconds } from '../lib/watch-memory.ts';
import { freeLoopbackPort } from '../stack/private-redis.ts';
import { loadAccepts, openConnection, type LoadFigures } from './accept-load.ts';

const projectDir = join(import.meta.dirname, '..', '..');
const streams = 2_000;
const startLimitMs = 30_000;
const pnpm = 'pnpm@12.21.0';

interface Side {
  readonly name: string;
  readonly hasKeys: boolean;
  readonly url: string;
  readonly redisUrl: string;
  readonly process: ChildProcess;
}

/** Prints a table. Leaves no process and no file behind. */
export async function benchAccept(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      pairs: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '8' },
      connections: { type: 'string', default: '16' },
    },
  });
  const [revision] = positionals;
  if (revision === undefined) throw new Error('Name the revision to compare with: npm run bench -- accept REV');
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-accept-'));
  const started: ChildProcess[] = [];
  try {
    const checkout = await checkOut(revision, join(folder, 'checkout'));
    const install = ['-y', '--loglevel=error', pnpm, 'install', '--frozen-lockfile', '--prefer-offline'];
    await exitOf(spawn('npx', install, { cwd: checkout, stdio: 'ignore' }), 'pnpm install');
    const redisUrl = await startRedis(folder, started);
    const sides = [
      await startApi(
        { name: revision, hasKeys: false, sourceDir: checkout, folder, redisUrl: `${redisUrl}/1` },
        started,
      ),
      await startApi(
        { name: 'working tree', hasKeys: true, sourceDir: projectDir, folder, redisUrl: `${redisUrl}/2` },
        started,
      ),
    ] as const;
    const load = { connections: Number(values.connections), durationMs: Number(values.seconds) * 1_000 };
    const figures = await alternate(sides, Number(values.pairs), load);
    console.log(await toMarkdown(sides, figures));
    console.log(await measureStreams(sides[1]));
  } finally {
    for (const child of started) child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
}

interface RoundFigures extends LoadFigures {
  /** Accepted per second of CPU time of the API: what it would accept on a core of its own. */
  readonly perProcessorSecond: number;
}

type Figures = ReadonlyMap<Side, readonly RoundFigures[]>;

async function alternate(
  sides: readonly Side[],
  pairs: number,
  load: { readonly connections: number; readonly durationMs: number },
): Promise<Figures> {
  const figures = new Map<Side, RoundFigures[]>(sides.map((side) => [side, []]));
  for (const { url, hasKeys } of sides) await loadAccepts({ ...load, url, hasKeys, durationMs: 3_000 });
  for (let pair = 0; pair < pairs; pair += 1) {
    for (const side of pair % 2 === 0 ? sides : sides.toReversed()) {
      await flush(side);
      const before = processorSeconds(side.process.pid ?? 0);
      const round = await loadAccepts({ ...load, url: side.url, hasKeys: side.hasKeys });
      const usedSeconds = processorSeconds(side.process.pid ?? 0) - before;
      figures.get(side)?.push({ ...round, perProcessorSecond: round.accepted / usedSeconds });
    }
  }
  return figures;
}

/** Each round begins with an empty database, so that no side has longer lists. */
async function flush({ redisUrl }: Side): Promise<void> {
  const redis = new Redis(redisUrl);
  await redis.flushdb();
  await redis.quit();
}

async function startRedis(folder: string, started: ChildProcess[]): Promise<string> {
  const port = await freeLoopbackPort();
  const durable = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec'];
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...durable];
  started.push(spawn('redis-server', options, { stdio: 'ignore' }));
  const url = `redis://127.0.0.1:${port}`;
  const redis = new Redis(url).on('error', () => undefined);
  await redis.ping();
  await redis.quit();
  return url;
}

async function startApi(
  {
    name,
    hasKeys,
    sourceDir,
    folder,
    redisUrl,
  }: { name: string; hasKeys: boolean; sourceDir: string; folder: string; redisUrl: string },
  started: ChildProcess[],
): Promise<Side> {
  const port = await freeLoopbackPort();
  const home = join(folder, `home-${started.length}`);
  // The API has the first core for itself, as far as the machine is idle.
  const command = ['-c', '0', process.execPath, join(sourceDir, 'apps', 'api', 'src', 'main.ts')];
  const child = spawn('taskset', command, {
    cwd: sourceDir,
    stdio: 'ignore',
    env: {
      ...process.env,
      HOST: '127.0.0.1',
      PORT: String(port),
      REDIS_URL: redisUrl,
      LIPSYNC_API_KEYS: '',
      LIPSYNC_DATA_DIR: join(home, 'data'),
      LIPSYNC_OUTPUT_DIR: join(home, 'outputs'),
      HEYGEN_API_KEY: '',
    },
  });
  started.push(child);
  const url = `http://127.0.0.1:${port}`;
  const deadlineMs = performance.now() + startLimitMs;
  while (!(await fetch(`${url}/ready`).catch(() => undefined))?.ok) {
    if (performance.now() > deadlineMs) throw new Error(`The API of ${name} did not start.`);
    await sleep(200);
  }
  return { name, hasKeys, url, redisUrl, process: child };
}

async function toMarkdown(sides: readonly [Side, Side], figures: Figures): Promise<string> {
  const rows = await Promise.all(
    sides.map(async (side) => {
      const of = (read: (one: RoundFigures) => number): string =>
        median((figures.get(side) ?? []).map(read)).toFixed(1);
      const commands = await countCommands(side);
      const keys = side.hasKeys ? 'a key each' : 'without keys';
      return `| ${side.name}, ${keys} | ${of((one) => one.acceptedPerSecond)} | ${of((one) => one.perProcessorSecond)} | ${of((one) => one.p50Ms)} | ${of((one) => one.p99Ms)} | ${commands} |`;
    }),
  );
  const [before = [], after = []] = sides.map((side) => figures.get(side) ?? []);
  const ratiosOf = (name: 'acceptedPerSecond' | 'perProcessorSecond'): string => {
    const ratios = after.map((one, pair) => one[name] / (before[pair]?.[name] ?? NaN));
    return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`;
  };
  return [
    '| API on one core | accepted per second | per second of its CPU time | p50, ms | p99, ms | Redis commands per accept |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
    `Ratio, median of ${after.length} pairs: ${ratiosOf('acceptedPerSecond')}; per processor second ${ratiosOf('perProcessorSecond')}.`,
  ].join('\n');
}

/** Commands that the API sends, one after the other; those of scripts run inside Redis. */
async function countCommands({ url, redisUrl, hasKeys }: Side): Promise<string> {
  const accepts = 20;
  const connection = await openConnection(url);
  await connection.accept(hasKeys);
  const { port, pathname } = new URL(redisUrl);
  const monitor = spawn('redis-cli', ['-p', port, 'monitor'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  monitor.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  await once(monitor.stdout, 'data');
  for (let accept = 0; accept < accepts; accept += 1) await connection.accept(hasKeys);
  await sleep(200);
  monitor.kill();
  connection.close();
  // Lines such as: 1795944567.72 [2 127.0.0.1:49310] "evalsha" …; those of scripts have "lua" for the address.
  const ours = new RegExp(`^\\d+\\.\\d+ \\[${pathname.slice(1)} [\\d.]+:\\d+\\] "(\\w+)"`, 'gm');
  const names = Array.from(output.matchAll(ours), ([, name = '']) => name.toLowerCase());
  const counts = Map.groupBy(names, (name) => name);
  const listed = [...counts].map(([name, all]) => `${name} ${(all.length / accepts).toFixed(1)}`);
  return `${(names.length / accepts).toFixed(1)} (${listed.join(', ')})`;
}

async function measureStreams(side: Side): Promise<string> {
  const connection = await openConnection(side.url);
  const ids: string[] = [];
  while (ids.length < streams) ids.push(await connection.accept(side.hasKeys));
  connection.close();
  await sleep(3_000);
  const before = await residentMib(side);
  const open = await Promise.all(ids.map((id) => openStream(`${side.url}/lipsync/${id}/events`)));
  await sleep(3_000);
  const after = await residentMib(side);
  for (const stream of open) stream.destroy();
  const each = ((after - before) * 1_024) / streams;
  return `${streams} event streams of as many jobs: ${before.toFixed(0)} → ${after.toFixed(0)} MiB resident, ${each.toFixed(0)} KiB each.`;
}

/** Resolves after the first event. */
async function openStream(url: string): Promise<ClientRequest> {
  const sent = request(url, { agent: false }).end();
  const [response] = await once(sent, 'response');
  if (response.statusCode !== 200) throw new Error(`The API answered ${response.statusCode} for an event stream.`);
  await once(response, 'data');
  response.on('error', () => undefined);
  return sent.on('error', () => undefined);
}

async function residentMib({ process: { pid } }: Side): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1_024;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
