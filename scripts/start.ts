/**
 * `npm start`: runs API, worker and, without REDIS_URL, a private Redis until it receives a signal. `npm run api` and
 * `npm run worker` run one of them, with the Redis and the files of a service on several machines.
 */
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { requireValidSettings, stackConfigFromEnvironment, type StackConfig } from './stack/config.ts';
import { isLogRecord } from './stack/log-record.ts';
import { startApp, startStack, type AppName, type PartName } from './stack/stack.ts';
import { stopSignal, untilAborted } from './stack/stop-signal.ts';

const settingsHint = 'Settings come from the environment and from .env; docs/configuration.md lists them.';

async function main(): Promise<number> {
  const projectDir = dirname(import.meta.dirname);
  const app = parseApp(process.argv.slice(2));
  requireValidSettings(projectDir, app);
  const config = stackConfigFromEnvironment(projectDir);
  // For Redis; API and worker set their own from LIPSYNC_FILE_ACCESS.
  process.umask(0o077);
  const signal = stopSignal();
  const options = {
    ...config,
    projectDir,
    signal,
    onLine: printLine,
    onEvent: (text: string) => void process.stderr.write(`${text}\n`),
  };
  const { redisUrl } = config;
  if (app !== undefined && redisUrl === undefined) throw new Error(noRedisMessage(app));
  const stack =
    app === undefined || redisUrl === undefined
      ? await startStack(options)
      : await startApp(app, { ...options, redisUrl });
  printStart(stack, app, config);
  const failure = await Promise.race([stack.failed, untilAborted(signal)]);
  process.stderr.write(`Stopping${failure === undefined ? '' : `: ${failure.message}`}\n`);
  await stack.stop();
  return failure === undefined ? 0 : 1;
}

/** The app to run alone; undefined for the whole service. `--lanes` overrides WORKER_LANES. */
function parseApp([name, ...args]: readonly string[]): AppName | undefined {
  if (name === 'worker') {
    const { lanes } = parseArgs({ args, options: { lanes: { type: 'string' } } }).values;
    if (lanes !== undefined) process.env['WORKER_LANES'] = lanes;
    return name;
  }
  if (args.length > 0 || (name !== undefined && name !== 'api'))
    throw new Error(`npm ${name === 'api' ? 'run api' : 'start'} takes no arguments. ${settingsHint}`);
  return name;
}

function noRedisMessage(app: AppName): string {
  return (
    `npm run ${app} needs REDIS_URL, the Redis of the service, which the other machines reach too. ` +
    'npm start runs a whole service with its own Redis on one machine.'
  );
}

/**
 * Standard output carries log records only, one JSON object per line; everything else goes to standard error. The log of
 * Redis is omitted; after a failure its last lines are in the error.
 */
function printLine(part: PartName, line: string): void {
  if (part === 'redis') return;
  if (isLogRecord(line)) process.stdout.write(`${line}\n`);
  else process.stderr.write(`${part.padEnd(6)} ${line}\n`);
}

function printStart(
  { url }: { readonly url?: string },
  app: AppName | undefined,
  { dataDir, redisUrl }: StackConfig,
): void {
  const addresses =
    url === undefined
      ? ['The worker is running']
      : [
          `${app === undefined ? 'Lipsync' : 'The API'} is running at ${url}`,
          `  docs    ${url}/docs`,
          `  queues  ${url}/admin/queues`,
        ];
  const lines = [
    ...addresses,
    `  data    ${dataDir}`,
    `  redis   ${redisUrl === undefined ? 'private, started and stopped with this service' : 'REDIS_URL'}`,
    'Press Control-C to stop it.',
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
// The IPC channel to the launcher would keep this process alive.
if (process.connected) process.disconnect();
