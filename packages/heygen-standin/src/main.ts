/** `npm run heygen-standin`: serves a HeyGen v3 API on this machine until it is stopped. */
import { parseArgs } from 'node:util';
import { mouthModes, startHeygenStandin, type HeygenStandinOptions, type MouthMode } from './index.ts';

const usage =
  'npm run heygen-standin -- [--port 4010] [--key sk_V2_mine] [--balance-usd 1000] [--timescale 1] [--max-concurrent 10] [--mouth moving|old|frozen|shifted]';

interface NumberFlag {
  /** Follows the flag in a message: "--port must be …". */
  readonly rule: string;
  readonly accepts: (value: number) => boolean;
}

const numberFlags = {
  port: { rule: 'a port, 0 to 65535', accepts: (value) => Number.isInteger(value) && value >= 0 && value <= 65_535 },
  'balance-usd': { rule: 'a number of at least 0', accepts: (value) => value >= 0 },
  timescale: { rule: 'a number above 0', accepts: (value) => value > 0 },
  'max-concurrent': { rule: 'an integer of at least 1', accepts: (value) => Number.isInteger(value) && value >= 1 },
} satisfies Readonly<Record<string, NumberFlag>>;

function readOptions(): HeygenStandinOptions {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '4010' },
      key: { type: 'string' },
      'balance-usd': { type: 'string', default: '1000' },
      timescale: { type: 'string', default: '1' },
      'max-concurrent': { type: 'string', default: '10' },
      mouth: { type: 'string', default: 'moving' },
    },
  });
  const readNumber = (name: keyof typeof numberFlags): number => parseNumber(name, values[name]);
  return {
    port: readNumber('port'),
    ...(values.key === undefined ? {} : { apiKey: values.key }),
    balanceMicros: Math.round(readNumber('balance-usd') * 1_000_000),
    settings: {
      timescale: readNumber('timescale'),
      maxConcurrent: readNumber('max-concurrent'),
      mouth: parseMouth(values.mouth),
    },
  };
}

function parseNumber(name: keyof typeof numberFlags, text: string): number {
  const { rule, accepts }: NumberFlag = numberFlags[name];
  const value = text.trim() === '' ? NaN : Number(text);
  if (!Number.isFinite(value) || !accepts(value)) throw new Error(`--${name} must be ${rule}.`);
  return value;
}

function parseMouth(value: string): MouthMode {
  const mouth = mouthModes.find((mode) => mode === value);
  if (mouth === undefined) throw new Error(`--mouth must be one of ${mouthModes.join(', ')}.`);
  return mouth;
}

async function main(): Promise<void> {
  const standin = await startHeygenStandin(readOptions());
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
  if (process.argv.includes('--help') || process.argv.includes('-h')) process.stdout.write(`${usage}\n`);
  else await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
  process.exitCode = 1;
}
// An open channel would keep this process alive.
if (process.connected) process.disconnect();
