import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { configFromEnvironment } from '../config.ts';
import { parseOptions } from '../contract/index.ts';
import { InputNotFoundError, LipsyncError } from '../errors/index.ts';
import { parseManifest, type ManifestRow } from '../jobs/batch-manifest.ts';
import { toSummaryView } from '../jobs/batch-view.ts';
import { toUsd } from '../jobs/job-view.ts';
import { toQualityView } from '../contract/quality.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { BatchProblemsError, checkItems, refuseOutputs, type GivenItem } from '../service/batch-input.ts';
import { createLocalHost, type LocalHost } from '../service/get-lipsync-service.ts';
import { maxConcurrency, type BatchItemOutcome, type BatchOutcome } from '../service/local-batches.ts';
import type { LocalJobInput } from '../service/local-jobs.ts';
import { isUrl } from '../service/parse-input.ts';
import { createBatchDisplay } from './batch-display.ts';
import { readOptions } from './generate-command.ts';
import { OptionFlags } from './option-flags.ts';
import { toFields } from './remote-service.ts';
import { interruptSignal, writeLine, type Terminal } from './terminal.ts';
import { invalidFlags, UsageError } from './usage-error.ts';

interface BatchFlags extends Record<string, unknown> {
  readonly output: string;
  readonly overwrite?: boolean;
  readonly concurrency: number;
  readonly json?: boolean;
}

const defaultOptimize = 'cost';

const help = `
The manifest is a CSV file: a row of names, then a row for each of up to 500 items. The columns video and audio are
required: files, relative to the manifest, or http(s) URLs. output_name is a file name; without it the output is
0001-<clip>.mp4. Other columns are request fields, such as sync_mode or max_cost_usd, and take precedence over flags.

All rows are checked before anything starts. A failed item does not fail the others. The same command, started again
after an interruption, a crash or a failure, runs only the items that are not complete.
Exit codes: 0 every item is complete, 1 an item failed or was canceled, 2 invalid usage; then nothing was started.`;

export function addBatchCommand(
  program: Command,
  terminal: Terminal,
  definitions: readonly ProviderDefinition[],
  setExitCode: (code: number) => void,
): void {
  const flags = new OptionFlags(definitions, defaultOptimize);
  const command = program
    .command('batch')
    .description('run all items of a manifest on this machine, and resume what is not complete')
    .argument('<manifest.csv>', 'CSV file with a row for each item, see below')
    .requiredOption('-o, --output <folder>', 'folder of the resulting MP4 files (required)')
    .option('--overwrite', 'replace existing outputs (default: refuse the batch)')
    .option('--concurrency <number>', `items that run at the same time, 1 to ${maxConcurrency}`, readConcurrency, 2)
    .option('--json', 'print summary and results as one line of JSON on stdout');
  flags
    .addTo(command)
    .addHelpText('after', help)
    .action(async (manifest: string, given: BatchFlags) => {
      const host = createLocalHost(configFromEnvironment(undefined, definitions));
      try {
        const options = toFields(flags.read(given));
        readOptions(host.optionsSchema, flags, given);
        const rows = await readManifest(manifest);
        const batch = { rows, inputs: await toInputs(rows, { manifest, given, host, options }) };
        const outcome = await runBatch(batch, { host, given, terminal });
        print(outcome, batch.rows, { given, terminal });
        setExitCode(outcome.summary.success === outcome.summary.total ? 0 : 1);
      } finally {
        await host.close();
      }
    });
}

function readConcurrency(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > maxConcurrency)
    throw new InvalidArgumentError(`It must be 1 to ${maxConcurrency}.`);
  return value;
}

async function readManifest(path: string): Promise<readonly ManifestRow[]> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new InputNotFoundError(`The manifest "${path}" does not exist or cannot be read.`, { cause });
  });
  try {
    return parseManifest(bytes, ['video', 'audio']);
  } catch (error) {
    throw error instanceof LipsyncError ? new UsageError(error.message) : error;
  }
}

interface BatchSource {
  readonly manifest: string;
  readonly given: BatchFlags;
  readonly host: LocalHost;
  /** Options for all items. */
  readonly options: Readonly<Record<string, unknown>>;
}

const names = { video: 'video', audio: 'audio', outputName: 'output_name' };

/** Checks all rows. Throws a `UsageError` that names every problem by its line. */
async function toInputs(
  rows: readonly ManifestRow[],
  { manifest, given, host, options }: BatchSource,
): Promise<readonly LocalJobInput[]> {
  const folder = dirname(resolve(manifest));
  const toSource = (value: unknown): unknown =>
    typeof value === 'string' && !isUrl(value) ? resolve(folder, value) : value;
  const items = rows.map(({ fields }): GivenItem => {
    const { video, audio, output_name: outputName, ...own } = Object.fromEntries(fields);
    const parsed = parseOptions(
      new Map(Object.entries({ optimize: defaultOptimize, ...options, ...own })),
      host.optionsSchema,
    );
    return { video: toSource(video), audio: toSource(audio), outputName, ...parsed };
  });
  const { overwrite = false, output: outputDir } = given;
  return namingLines(rows, () => checkItems(items, { outputDir, overwrite, names, checkOptions: host.checkOptions }));
}

/** Runs `work`; problems of items become a `UsageError` that names their lines. */
async function namingLines<Result>(rows: readonly ManifestRow[], work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BatchProblemsError)) throw error;
    throw invalidFlags(
      error.problems.map(({ item, field, message }) => ({
        flag: `line ${rows[item]?.line ?? 0}: ${field}`,
        message: message.replace(/ of item (\d+)$/, (_, other: string) => ` of line ${rows[Number(other)]?.line ?? 0}`),
      })),
    );
  }
}

async function runBatch(
  { rows, inputs }: { readonly rows: readonly ManifestRow[]; readonly inputs: readonly LocalJobInput[] },
  { host, given, terminal }: Pick<BatchSource, 'host' | 'given'> & { readonly terminal: Terminal },
): Promise<BatchOutcome> {
  const interrupt = interruptSignal();
  const outputNames = inputs.map(({ outputPath }) => basename(outputPath));
  const display = createBatchDisplay(terminal.stderr, outputNames);
  try {
    return await namingLines(rows, () =>
      host.untilClosed(
        (signal) =>
          host.localBatches.run(inputs, refuseOutputs(names.outputName), {
            signal,
            concurrency: given.concurrency,
            onProgress: (item, update) => display.show(item, update),
            onItemEnd: (outcome) => display.endItem(outcome),
          }),
        interrupt.signal,
      ),
    );
  } finally {
    display.end();
    interrupt.end();
  }
}

function print(
  { items, summary }: BatchOutcome,
  rows: readonly ManifestRow[],
  { given, terminal: { stdout, stderr } }: { readonly given: BatchFlags; readonly terminal: Terminal },
): void {
  const view = toSummaryView(summary);
  if (given.json) {
    const results = items.map((outcome) => ({ line: rows[outcome.item]?.line ?? null, ...toResultView(outcome) }));
    return writeLine(stdout, JSON.stringify({ summary: view, results }));
  }
  const { total, success, failed, canceled, total_duration: duration, total_cost_usd: cost } = view;
  writeLine(stderr, `${success} of ${total} complete, ${failed} failed, ${canceled} canceled.`);
  writeLine(stderr, `${duration.toFixed(1)} s of video, $${cost.toFixed(4)}.`);
  for (const { status, outputPath } of items) if (status === 'completed') writeLine(stdout, outputPath);
}

function toResultView(outcome: BatchItemOutcome) {
  const { item, status, outputPath, result, error, costMicros, isFromEarlierRun } = outcome;
  return {
    item,
    output_name: basename(outputPath),
    status,
    output_path: status === 'completed' ? outputPath : null,
    method_used: result?.methodUsed ?? null,
    degraded: result?.degraded ?? false,
    duration: result && result.durationMs / 1000,
    cost_usd: toUsd(costMicros),
    quality: result?.quality ? toQualityView(result.quality) : null,
    error: error && { code: error.code, message: error.message, retryable: error.policy.retryable },
    from_earlier_run: isFromEarlierRun,
  };
}
