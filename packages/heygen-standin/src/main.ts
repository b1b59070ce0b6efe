/** `npm run heygen-standin`: serves a HeyGen v3 API on this machine until it is stopped. */
import { parseArgs } from 'node:util';
import { mouthModes, startHeygenStandin, type HeygenStandinOptions, type MouthMode } from './index.ts';

const usage =
  'npm run heygen-standin -- [--port 4010] [--key sk_V2_mine] [--balance-usd 1000] [--timescale 1] [--max-concurrent 10] [--mouth moving|old|frozen|shifted]';

/** Null for a request for help. */
function readOptions(): HeygenStandinOptions | null {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '4010' },
      key: { type: 'string' },
      'balance-usd': { type: 'string', default: '1000' },
      timescale: { type: 'string', default: '1' },
      'max-concurrent': { type: 'string', default: '10' },
      mouth: { type: 'string', default: 'moving' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  return {
    port: Number(values.port),
    ...(values.key === undefined ? {} : { apiKey: values.key }),
    balanceMicros: Math.round(Number(values['balance-usd']) * 1_000_000),
    settings: {
      timescale: Number(values.timescale),
      maxConcurrent: Number(values['max-concurrent']),
      mouth: parseMouth(values.mouth),
    },
  };
}

function parseMouth(value: string): MouthMode {
  const mouth = mouthModes.find((mode) => mode === value);
  if (mouth === undefined) throw new Error(`--mouth must be one of ${mouthModes.join(', ')}.`);
  return mouth;
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options === null) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  const standin = await startHeygenStandin(options);
  const lines = [
    `HeyGen stand-in at ${standin.url}`,
    `  HEYGEN_API_ENDPOINT=${standin.url}`,
    `  HEYGEN_API_KEY=${standin.apiKey}`,
    `  control  ${standin.url}/standin/operations (wallet, log, faults, settings, ...)`,
    'Control-C stops the stand-in.',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  await waitForStop();
  await standin.close();
}

/** Resolves on a signal, or when a parent process that opened an IPC channel exits. */
async function waitForStop(): Promise<void> {
  await new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, resolve);
    if (process.connected) process.once('disconnect', resolve);
  });
}

try {
  if (process.argv.includes('--help')) process.stdout.write(`${usage}\n`);
  else await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
  process.exitCode = 1;
}
// An open channel would keep this process alive.
if (process.connected) process.disconnect();
