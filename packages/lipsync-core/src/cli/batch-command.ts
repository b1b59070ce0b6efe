import { basename } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { configFromEnvironment } from '../config.ts';
import { parseOptions } from '../contract/index.ts';
import type { ManifestRow } from '../jobs/batch-manifest.ts';
import { toSummaryView } from '../jobs/batch-view.ts';
import { microsToUsd } from '../billing/micros.ts';
import { toQualityView } from '../contract/quality.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { refuseOutputs } from '../service/batch-input.ts';
import { createLocalHost, type LocalHost } from '../service/get-lipsync-service.ts';
import { maxConcurrency, type BatchItemOutcome, type BatchOutcome } from '../service/local-batches.ts';
import type { LocalJobInput } from '../service/local-jobs.ts';
import { createBatchDisplay } from './batch-display.ts';
import { printReport, type BatchReport, type BatchResult } from './batch-report.ts';
import { checkRows, namingLines, readManifest, rowNames } from './batch-rows.ts';
import { readOptions } from './generate-command.ts';
import { OptionFlags } from './option-flags.ts';
import { runBatchOnService } from './remote-batch-command.ts';
import { toFields } from './remote-service.ts';
import { interruptSignal, type Terminal } from './terminal.ts';
import { invalidFlags } from './usage-error.ts';

interface BatchFlags extends Record<string, unknown> {
  readonly output: string;
  readonly overwrite?: boolean;
  readonly concurrency?: number;
  readonly json?: boolean;
  readonly server?: string;
}

const defaultOptimize = 'cost';
const defaultConcurrency = 2;

const help = `
The manifest is a CSV file: a row of names, then a row for each of up to 500 items. The columns video and audio are
required: files, relative to the manifest, or http(s) or s3 URLs. output_name is a file name; without it the output is
0001-<clip>.mp4. Other columns are request fields, such as sync_mode or max_cost_usd, and take precedence over flags;
--max-cost-usd limits the whole batch, and that column its item.

All rows are checked before anything starts. A failed item does not fail the others. The same command, started again
after an interruption, a crash or a failure, runs only the items that are not complete.

With --server, files are uploaded once, the service runs the items, and outputs are downloaded as they are completed.
Ctrl-C leaves the batch running there, and the same command follows it again; a second Ctrl-C within 3 s cancels it.

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
    .description('run all items of a manifest on this machine or a service, and resume what is not complete')
    .argument('<manifest.csv>', 'CSV file with a row for each item, see below')
    .requiredOption('-o, --output <folder>', 'folder of the resulting MP4 files (required)')
    .option('--overwrite', 'replace existing outputs (default: refuse the batch)')
    .option('--server <url>', 'run the items on this service; its key comes from LIPSYNC_SERVER_KEY')
    .option(
      '--concurrency <number>',
      `items that run at the same time on this machine, 1 to ${maxConcurrency} (default: ${defaultConcurrency})`,
      readConcurrency,
    )
    .option('--json', 'print summary and results as one line of JSON on stdout');
  flags
    .addTo(command)
    .addHelpText('after', help)
    .action(async (manifest: string, given: BatchFlags) => {
      const rows = await readManifest(manifest);
      const report =
        given.server === undefined
          ? await runHere(rows, { manifest, given, flags, definitions, terminal })
          : await runOnService(rows, { manifest, given, flags, terminal, server: given.server });
      const lineOf = (item: number): number | null => rows[item]?.line ?? null;
      printReport(report, lineOf, { ...terminal, isJson: given.json === true });
      setExitCode(report.summary.success === report.summary.total ? 0 : 1);
    });
}

interface BatchCall {
  readonly manifest: string;
  readonly given: BatchFlags;
  readonly flags: OptionFlags;
  readonly terminal: Terminal;
}

async function runHere(
  rows: readonly ManifestRow[],
  { definitions, flags, ...call }: BatchCall & { readonly definitions: readonly ProviderDefinition[] },
): Promise<BatchReport> {
  const host = createLocalHost(configFromEnvironment(undefined, definitions));
  try {
    const { max_cost_usd: _, ...options } = toFields(flags.read(call.given));
    const { maxCostUsd } = readOptions(host.optionsSchema, flags, call.given);
    const inputs = await toInputs(rows, { ...call, host, options });
    return toReport(await runBatch({ rows, inputs, maxCostUsd }, { ...call, host }));
  } finally {
    await host.close();
  }
}

function runOnService(
  rows: readonly ManifestRow[],
  { manifest, given, flags, terminal, server }: BatchCall & { readonly server: string },
): Promise<BatchReport> {
  if (given.concurrency !== undefined)
    throw invalidFlags([{ flag: '--concurrency', message: 'cannot be set for a service, which has its own limits' }]);
  const contradictions = flags.listContradictions(given);
  if (contradictions.length > 0) throw invalidFlags(contradictions);
  const { output: outputDir, overwrite = false } = given;
  return runBatchOnService(rows, { manifest, outputDir, overwrite, server, flags, given, terminal });
}

function readConcurrency(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > maxConcurrency)
    throw new InvalidArgumentError(`It must be 1 to ${maxConcurrency}.`);
  return value;
}

interface LocalRun {
  readonly rows: readonly ManifestRow[];
  readonly inputs: readonly LocalJobInput[];
  /** Limit of the whole batch. */
  readonly maxCostUsd: number | undefined;
}

interface BatchSource {
  readonly manifest: string;
  readonly given: BatchFlags;
  readonly host: LocalHost;
  /** Options for all items. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Checks all rows. Throws a `UsageError` that names every problem by its line. */
function toInputs(
  rows: readonly ManifestRow[],
  { manifest, given, host, options }: BatchSource,
): Promise<readonly LocalJobInput[]> {
  const { overwrite = false, output: outputDir } = given;
  return checkRows(rows, {
    manifest,
    outputDir,
    overwrite,
    parse: (own) =>
      parseOptions(new Map(Object.entries({ optimize: defaultOptimize, ...options, ...own })), host.optionsSchema),
    checkOptions: host.checkOptions,
  });
}

async function runBatch(
  { rows, inputs, maxCostUsd }: LocalRun,
  { host, given, terminal }: Pick<BatchSource, 'host' | 'given'> & { readonly terminal: Terminal },
): Promise<BatchOutcome> {
  const interrupt = interruptSignal();
  const outputNames = inputs.map(({ outputPath }) => basename(outputPath));
  const display = createBatchDisplay(terminal.stderr, outputNames);
  try {
    return await namingLines(rows, () =>
      host.untilClosed(
        (signal) =>
          host.localBatches.run(inputs, refuseOutputs(rowNames.outputName), {
            signal,
            concurrency: given.concurrency ?? defaultConcurrency,
            maxCostUsd,
            onProgress: (item, update) => display.show(item, update),
            onItemEnd: (outcome) => display.endItem(toResult(outcome)),
          }),
        interrupt.signal,
      ),
    );
  } finally {
    display.end();
    interrupt.end();
  }
}

function toReport({ items, summary }: BatchOutcome): BatchReport {
  return { batchId: null, summary: toSummaryView(summary), results: items.map(toResult) };
}

function toResult(outcome: BatchItemOutcome): BatchResult {
  const { item, status, outputPath, result, error, costMicros, isFromEarlierRun } = outcome;
  return {
    item,
    output_name: basename(outputPath),
    status,
    output_path: status === 'completed' ? outputPath : null,
    method_used: result?.methodUsed ?? null,
    degraded: result?.degraded ?? false,
    duration: result && result.durationMs / 1000,
    cost_usd: microsToUsd(costMicros),
    quality: result?.quality ? toQualityView(result.quality) : null,
    error: error && { code: error.code, message: error.message, retryable: error.policy.retryable },
    from_earlier_run: isFromEarlierRun,
  };
}
