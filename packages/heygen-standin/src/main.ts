/** `npm run heygen-standin`: a HeyGen v3 API on this machine, until it is told to stop. */
import { parseArgs } from 'node:util';
import { startHeygenStandin, type HeygenStandinOptions } from './index.ts';

const usage =
  'npm run heygen-standin -- [--port 4010] [--key sk_V2_mine] [--balance-usd 1000] [--timescale 1] [--max-concurrent 10]';

function readOptions(): HeygenStandinOptions {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '4010' },
      key: { type: 'string' },
      'balance-usd': { type: 'string', default: '1000' },
      timescale: { type: 'string', default: '1' },
      'max-concurrent': { type: 'string', default: '10' },
    },
  });
  return {
    port: Number(values.port),
    ...(values.key === undefined ? {} : { apiKey: values.key }),
    balanceMicros: Math.round(Number(values['balance-usd']) * 1_000_000),
    settings: { timescale: Number(values.timescale), maxConcurrent: Number(values['max-concurrent']) },
  };
}

async function main(): Promise<void> {
  const standin = await startHeygenStandin(readOptions());
  const lines = [
    `HeyGen stand-in at ${standin.url}`,
    `  HEYGEN_API_ENDPOINT=${standin.url}`,
    `  HEYGEN_API_KEY=${standin.apiKey}`,
    `  control  ${standin.url}/standin/operations (wallet, log, faults, settings, ...)`,
    'Control-C stops it.',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  await toldToStop();
  await standin.close();
}

/** By a signal, or by the end of a launcher that opened a channel to this process. */
async function toldToStop(): Promise<void> {
  await new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, resolve);
    if (process.connected) process.once('disconnect', resolve);
  });
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
  process.exitCode = 1;
}
// The channel would keep this process alive after all is stopped.
if (process.connected) process.disconnect();
