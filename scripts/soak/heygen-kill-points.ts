import { watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { Redis } from 'ioredis';
import type { LoggedRequest, StandinControl } from '../../packages/heygen-standin/src/index.ts';

/** An event of a running job that is visible outside its worker. */
type Observation =
  | { readonly kind: 'request'; readonly route: LoggedRequest['route']; readonly isAnswered: boolean }
  | { readonly kind: 'write'; readonly text: string }
  | { readonly kind: 'output' };

/** A step of a job, recognized by an observation. */
export interface KillPoint {
  readonly name: string;
  matches(observation: Observation): boolean;
}

const arrives =
  (route: LoggedRequest['route']) =>
  (observation: Observation): boolean =>
    observation.kind === 'request' && observation.route === route && !observation.isAnswered;
const isAnswered =
  (route: LoggedRequest['route']) =>
  (observation: Observation): boolean =>
    observation.kind === 'request' && observation.route === route && observation.isAnswered;
export const isWritten =
  (...patterns: readonly RegExp[]) =>
  (observation: Observation): boolean =>
    observation.kind === 'write' && patterns.every((pattern) => pattern.test(observation.text));
const isRunning = /"status":"processing"/;

/** Steps that are visible at the stand-in, in the order in which a job reaches them. */
export const requestPoints: readonly KillPoint[] = [
  { name: 'upload arrives', matches: arrives('upload') },
  { name: 'upload answered', matches: isAnswered('upload') },
  { name: 'create arrives', matches: arrives('create') },
  { name: 'create answered, not stored', matches: isAnswered('create') },
  { name: 'poll arrives', matches: arrives('get') },
  { name: 'poll answered', matches: isAnswered('get') },
  { name: 'download arrives', matches: arrives('download') },
  { name: 'download answered', matches: isAnswered('download') },
];

/**
 * Steps that are visible in Redis or in the output folder. Redis shows a write before the worker receives its reply.
 */
export const writePoints: readonly KillPoint[] = [
  { name: 'slot acquired', matches: isWritten(/places\/heygen/, /sinceMs/) },
  { name: 'attempt stored', matches: isWritten(isRunning, /"outcome":"running"/, /"operation":null/) },
  { name: 'money reserved', matches: isWritten(/ledger\/entry\//, /"state":"reserved"/) },
  {
    name: 'request stored',
    matches: isWritten(isRunning, /"outcome":"running"/, /"operation":null/, /"unacknowledgedSinceMs":\d/),
  },
  {
    name: 'operation stored',
    matches: isWritten(isRunning, /"outcome":"running"/, /"operation":\{/, /"costMicros":null/),
  },
  { name: 'parked', matches: isWritten(/"parkedUntilMs":\d/) },
  { name: 'cost stored', matches: isWritten(isRunning, /"outcome":"running"/, /"costMicros":\d/) },
  { name: 'settled', matches: isWritten(/ledger\/entry\//, /"state":"settled"/) },
  { name: 'attempt ended', matches: isWritten(isRunning, /"outcome":"succeeded"/) },
  { name: 'output published', matches: ({ kind }) => kind === 'output' },
  { name: 'completed', matches: isWritten(/"status":"completed"/) },
];

export interface KillPointWatcher {
  /** Calls `act` synchronously when a job first reaches the point. Resolves with false after `timeoutMs` without it. */
  waitFor(point: KillPoint, timeoutMs: number, act: () => void): Promise<boolean>;
  close(): void;
}

const logPollIntervalMs = 1;

/** Watches the stand-in's log and, if given, the Redis command stream and the output folder. The caller closes it. */
export async function openKillPointWatcher({
  control,
  redisUrl,
  outputDir,
}: {
  readonly control: StandinControl;
  readonly redisUrl?: string;
  readonly outputDir?: string;
}): Promise<KillPointWatcher> {
  let observe: (observation: Observation) => void = () => undefined;
  const closers = [watchRequests(control, (observation) => observe(observation))];
  if (redisUrl !== undefined) closers.push(await watchWrites(redisUrl, (observation) => observe(observation)));
  if (outputDir !== undefined) {
    await mkdir(outputDir, { recursive: true });
    const watcher = watch(outputDir, { recursive: true }, (_event, name) => {
      if (name?.endsWith('output.mp4')) observe({ kind: 'output' });
    });
    closers.push(() => watcher.close());
  }
  return {
    async waitFor(point, timeoutMs, act) {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const timer = setTimeout(() => resolve(false), timeoutMs);
      observe = (observation) => {
        if (!point.matches(observation)) return;
        observe = () => undefined;
        act();
        resolve(true);
      };
      const isReached = await promise;
      observe = () => undefined;
      clearTimeout(timer);
      return isReached;
    },
    close: () => closers.forEach((close) => close()),
  };
}

/** The log has no listeners. The stand-in runs in this process, so frequent polling costs little. */
function watchRequests(control: StandinControl, onObservation: (observation: Observation) => void): () => void {
  let seen = 0;
  let open: LoggedRequest[] = [];
  const timer = setInterval(() => {
    const log = control.log();
    for (const request of log.slice(seen)) {
      onObservation({ kind: 'request', route: request.route, isAnswered: false });
      open.push(request);
    }
    seen = log.length;
    for (const { route, status } of open)
      if (status !== null) onObservation({ kind: 'request', route, isAnswered: true });
    open = open.filter(({ status }) => status === null);
  }, logPollIntervalMs);
  return () => clearInterval(timer);
}

async function watchWrites(redisUrl: string, onObservation: (observation: Observation) => void): Promise<() => void> {
  const client = new Redis(redisUrl);
  const monitor = await client.monitor();
  monitor.on('monitor', (_time: string, command: readonly string[]) => {
    if (/^(hset|set)$/i.test(command[0] ?? '')) onObservation({ kind: 'write', text: command.join(' ') });
  });
  return () => {
    monitor.disconnect();
    client.disconnect();
  };
}
