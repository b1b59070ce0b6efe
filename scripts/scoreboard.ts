/**
 * `npm run scoreboard -- CLIPS…`: renders every clip with every speech by every configured provider and rates the takes:
 * parts, labels, seconds per second and dollars per minute, as tables or, with --json, as one line of JSON.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { configFromEnvironment, type CoreConfig } from '../packages/lipsync-core/src/config.ts';
import { toLipsyncError } from '../packages/lipsync-core/src/errors/index.ts';
import { getLipsyncService } from '../packages/lipsync-core/src/index.ts';
import { listInstalled } from '../packages/lipsync-core/src/service/installation.ts';
import { reportTakes } from './scoreboard/report-takes.ts';
import { rateProviders, type BoardProvider, type RatedProvider } from './scoreboard/rate-providers.ts';
import { boardTables } from './scoreboard/scoreboard-tables.ts';
import { toBoardJson } from './scoreboard/scoreboard.ts';
import {
  ArgumentError,
  parseScoreboardArguments,
  type ScoreboardArguments,
} from './scoreboard/scoreboard-arguments.ts';

const controller = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => controller.abort());

try {
  process.exitCode = await run(await parseScoreboardArguments(process.argv.slice(2)));
} catch (error) {
  const isUsage = error instanceof ArgumentError;
  const { code, message } = toLipsyncError(error);
  process.stderr.write(isUsage ? `error: ${error.message}\n` : `${code}: ${message}\n`);
  process.exitCode = isUsage ? 2 : 1;
}

/** Returns the exit code: 1 when a take failed or no provider was rated. */
async function run(given: ScoreboardArguments): Promise<number> {
  const config: CoreConfig = { ...configFromEnvironment(), qualityEnabled: true };
  const providers = chooseProviders(config, given.providers);
  if (given.keepFolder !== null && (await readdir(given.keepFolder).catch(() => [])).length > 0)
    throw new ArgumentError(`--keep ${given.keepFolder} is not empty`);
  const work = await mkdtemp(join(tmpdir(), 'lipsync-scoreboard-'));
  const rated: RatedProvider[] = [];
  try {
    await rateProviders({
      ...given,
      providers,
      outputFolder: resolve(given.keepFolder ?? join(work, 'takes')),
      signal: controller.signal,
      // Local providers start without caches, so that none gains from the tracks of another one. Paid takes belong to the
      // ledger and the budgets of the installation.
      openService: ({ id, isPaid }) =>
        getLipsyncService({ ...config, ...(isPaid ? {} : { dataDir: join(work, 'data', id) }) }),
      onProgress: (line) => void process.stderr.write(`${line}\n`),
      onRated: (provider) => void rated.push(provider),
    }).finally(() => print(rated, given));
    const reportConfig = { ...config, dataDir: join(work, 'report') };
    if (given.report)
      await reportTakes(given.report, { providers: rated, config: reportConfig, signal: controller.signal });
    const takes = rated.flatMap((provider) => provider.takes);
    return takes.length === 0 || takes.some(({ error }) => error !== null) ? 1 : 0;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Prints the board before anything else can fail: the takes may be paid for. */
function print(rated: readonly RatedProvider[], { json }: ScoreboardArguments): void {
  if (rated.length === 0) return;
  const board = toBoardJson(rated);
  process.stdout.write(`${json ? JSON.stringify(board) : boardTables(board)}\n`);
}

function chooseProviders(config: CoreConfig, ids: readonly string[] | null): readonly BoardProvider[] {
  const all = listInstalled(config).map(({ definition, configured }) => ({
    id: definition.id,
    degraded: definition.facts.degraded,
    missingSetting: configured.missingSetting,
    isPaid: configured.remote !== null,
  }));
  const unknown = (ids ?? []).filter((id) => !all.some((provider) => provider.id === id));
  if (unknown.length > 0)
    throw new ArgumentError(`--provider ${unknown.join(', ')} is not one of ${all.map(({ id }) => id).join(', ')}`);
  return all.filter(({ id }) => ids === null || ids.includes(id));
}
