/** `npm start`: runs API, worker and, without REDIS_URL, a private Redis until it receives a signal. */
import { dirname } from 'node:path';
import { requireValidSettings, stackConfigFromEnvironment } from './stack/config.ts';
import { isLogRecord } from './stack/log-record.ts';
import { startStack, type PartName, type Stack } from './stack/stack.ts';
import { stopSignal, untilAborted } from './stack/stop-signal.ts';

const settingsHint = 'Settings come from the environment and from .env; docs/configuration.md lists them.';

async function main(): Promise<number> {
  if (process.argv.length > 2) throw new Error(`npm start takes no arguments. ${settingsHint}`);
  const projectDir = dirname(import.meta.dirname);
  requireValidSettings(projectDir);
  const config = stackConfigFromEnvironment(projectDir);
  // For Redis; API and worker set their own from LIPSYNC_FILE_ACCESS.
  process.umask(0o077);
  const signal = stopSignal();
  const stack = await startStack({
    ...config,
    projectDir,
    signal,
    onLine: printLine,
    onEvent: (text) => process.stderr.write(`${text}\n`),
  });
  printAddresses(stack, config.dataDir, config.redisUrl === undefined);
  const failure = await Promise.race([stack.failed, untilAborted(signal)]);
  process.stderr.write(`Stopping${failure === undefined ? '' : `: ${failure.message}`}\n`);
  await stack.stop();
  return failure === undefined ? 0 : 1;
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

function printAddresses({ url }: Stack, dataDir: string, ownsRedis: boolean): void {
  const lines = [
    `Lipsync is running at ${url}`,
    `  docs    ${url}/docs`,
    `  queues  ${url}/admin/queues`,
    `  data    ${dataDir}`,
    `  redis   ${ownsRedis ? 'private, started and stopped with this service' : 'REDIS_URL'}`,
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
