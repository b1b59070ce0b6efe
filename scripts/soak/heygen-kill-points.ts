import { watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { Redis } from 'ioredis';
import type { LoggedRequest, StandinControl } from '../../packages/heygen-standin/src/index.ts';

/** Something that can be seen from outside of a worker while it works. */
type Sight =
  | { readonly kind: 'request'; readonly route: LoggedRequest['route']; readonly isAnswered: boolean }
  | { readonly kind: 'write'; readonly text: string }
  | { readonly kind: 'output' };

/** A step of a job, told by what is seen at it. */
export interface KillPoint {
  readonly name: string;
  isAt(sight: Sight): boolean;
}

const asked =
  (route: LoggedRequest['route']) =>
  (sight: Sight): boolean =>
    sight.kind === 'request' && sight.route === route && !sight.isAnswered;
const answered =
  (route: LoggedRequest['route']) =>
  (sight: Sight): boolean =>
    sight.kind === 'request' && sight.route === route && sight.isAnswered;
const written =
  (...patterns: readonly RegExp[]) =>
  (sight: Sight): boolean =>
    sight.kind === 'write' && patterns.every((pattern) => pattern.test(sight.text));
const isRunning = /"status":"processing"/;

/** In the order in which a job comes to them. What is written is seen when Redis has it and the worker has not yet heard so. */
export const requestPoints: readonly KillPoint[] = [
  { name: 'upload arrives', isAt: asked('upload') },
  { name: 'upload answered', isAt: answered('upload') },
  { name: 'create arrives', isAt: asked('create') },
  { name: 'create answered, not stored', isAt: answered('create') },
  { name: 'poll arrives', isAt: asked('get') },
  { name: 'poll answered', isAt: answered('get') },
  { name: 'download arrives', isAt: asked('download') },
  { name: 'download answered', isAt: answered('download') },
];

export const writePoints: readonly KillPoint[] = [
  { name: 'slot acquired', isAt: written(/places\/heygen/, /sinceMs/) },
  { name: 'attempt begun', isAt: written(isRunning, /"outcome":"running"/, /"operation":null/) },
  { name: 'money reserved', isAt: written(/ledger\/entry\//, /"state":"reserved"/) },
  {
    name: 'request stored',
    isAt: written(isRunning, /"outcome":"running"/, /"operation":null/, /"unacknowledgedSinceMs":\d/),
  },
  { name: 'operation stored', isAt: written(isRunning, /"outcome":"running"/, /"operation":\{/, /"costMicros":null/) },
  { name: 'parked', isAt: written(/"parkedUntilMs":\d/) },
  { name: 'cost stored', isAt: written(isRunning, /"outcome":"running"/, /"costMicros":\d/) },
  { name: 'settled', isAt: written(/ledger\/entry\//, /"state":"settled"/) },
  { name: 'attempt ended', isAt: written(isRunning, /"outcome":"succeeded"/) },
  { name: 'output published', isAt: (sight) => sight.kind === 'output' },
  { name: 'completed', isAt: written(/"status":"completed"/) },
];

export interface Lookout {
  /** Calls `act` at the first sight of the point, within the same turn; false when it is not seen within the time. */
  at(point: KillPoint, limitMs: number, act: () => void): Promise<boolean>;
  end(): void;
}

const lookMs = 1;

/** Watches the stand-in's log and, if given, the Redis command stream and the output folder. */
export async function openLookout({
  control,
  redisUrl,
  outputDir,
}: {
  readonly control: StandinControl;
  readonly redisUrl?: string;
  readonly outputDir?: string;
}): Promise<Lookout> {
  let onSight: (sight: Sight) => void = () => undefined;
  const endings = [watchRequests(control, (sight) => onSight(sight))];
  if (redisUrl !== undefined) endings.push(await watchWrites(redisUrl, (sight) => onSight(sight)));
  if (outputDir !== undefined) {
    await mkdir(outputDir, { recursive: true });
    const watcher = watch(outputDir, { recursive: true }, (_event, name) => {
      if (name?.endsWith('output.mp4')) onSight({ kind: 'output' });
    });
    endings.push(() => watcher.close());
  }
  return {
    async at(point, limitMs, act) {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const timer = setTimeout(() => resolve(false), limitMs);
      onSight = (sight) => {
        if (!point.isAt(sight)) return;
        onSight = () => undefined;
        act();
        resolve(true);
      };
      const isSeen = await promise;
      onSight = () => undefined;
      clearTimeout(timer);
      return isSeen;
    },
    end: () => endings.forEach((end) => end()),
  };
}

/** The log has no listeners, and the stand-in runs in this process: looking often costs little. */
function watchRequests(control: StandinControl, onSight: (sight: Sight) => void): () => void {
  let seen = 0;
  let open: LoggedRequest[] = [];
  const timer = setInterval(() => {
    const log = control.log();
    for (const request of log.slice(seen)) {
      onSight({ kind: 'request', route: request.route, isAnswered: false });
      open.push(request);
    }
    seen = log.length;
    for (const { route, status } of open) if (status !== null) onSight({ kind: 'request', route, isAnswered: true });
    open = open.filter(({ status }) => status === null);
  }, lookMs);
  return () => clearInterval(timer);
}

async function watchWrites(redisUrl: string, onSight: (sight: Sight) => void): Promise<() => void> {
  const client = new Redis(redisUrl);
  const monitor = await client.monitor();
  monitor.on('monitor', (_time: string, command: readonly string[]) => {
    if (/^(hset|set)$/i.test(command[0] ?? '')) onSight({ kind: 'write', text: command.join(' ') });
  });
  return () => {
    monitor.disconnect();
    client.disconnect();
  };
}
