import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { LipsyncClient } from '@lipsync/client';
import { lipsyncOptionsSchema } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import type { ManifestRow } from '../jobs/batch-manifest.ts';
import { isUrl } from '../service/parse-input.ts';
import { createBatchDisplay } from './batch-display.ts';
import type { BatchReport } from './batch-report.ts';
import { checkRows, ownFields, toLineProblem } from './batch-rows.ts';
import type { OptionFlags } from './option-flags.ts';
import { RemoteBatchJournal } from './remote-batch-journal.ts';
import { RefusedItemsError, RemoteBatch, type RemoteItem } from './remote-batch.ts';
import { connect, toFieldProblem, toFields } from './remote-service.ts';
import { createInterrupts, writeLine, type Interrupts, type Terminal } from './terminal.ts';
import { UsageError } from './usage-error.ts';

/** Time for a second Ctrl-C, which cancels the batch. */
const secondKeyMs = 3_000;
const cancelLimitMs = 10_000;

export interface RemoteBatchCall {
  readonly manifest: string;
  readonly outputDir: string;
  readonly overwrite: boolean;
  readonly server: string;
  readonly flags: OptionFlags;
  readonly given: Readonly<Record<string, unknown>>;
  readonly terminal: Terminal;
}

/** Runs the rows of a manifest at a service. Throws a `UsageError` that names every refused row by its line. */
export async function runBatchOnService(rows: readonly ManifestRow[], call: RemoteBatchCall): Promise<BatchReport> {
  const { outputDir, server, flags, given, terminal } = call;
  const client = connect(server);
  // Not a field of the items: a batch that is continued with another limit is the same batch.
  const { max_cost_usd: limit, ...common } = toFields(flags.read(given));
  const maxCostUsd = typeof limit === 'number' ? limit : undefined;
  // The service checks the options: it may have other providers than this installation.
  const unchecked = { options: lipsyncOptionsSchema.parse({}), problems: [] };
  const inputs = await checkRows(rows, { ...call, parse: () => unchecked, checkOptions: () => undefined });
  const items = inputs.map((input, index) => ({ ...input, fields: fieldsOf(rows[index]) }));
  const journal = await RemoteBatchJournal.open(resolve(outputDir), [server, common, await identify(items)]);
  const display = createBatchDisplay(
    terminal.stderr,
    items.map(({ outputPath }) => outputPath.slice(resolve(outputDir).length + 1)),
  );
  const isLive = 'isTTY' in terminal.stderr && terminal.stderr.isTTY;
  const { overwrite } = call;
  const batch = new RemoteBatch({ client, journal, display, items, common, maxCostUsd, overwrite, isLive });
  const interrupts = createInterrupts();
  try {
    return await batch.run(interrupts.signal).finally(() => display.end());
  } catch (error) {
    if (interrupts.signal.aborted) throw await leave(client, journal, { interrupts, terminal });
    throw error instanceof RefusedItemsError ? toUsageError(error, rows, flags) : error;
  } finally {
    interrupts.end();
    await journal.close();
  }
}

function fieldsOf(row: ManifestRow | undefined): Readonly<Record<string, unknown>> {
  return row ? ownFields(row) : {};
}

/** What makes two runs of a command the same batch: items with the state of their files. */
function identify(items: readonly RemoteItem[]): Promise<readonly unknown[]> {
  const stateOf = async (source: string): Promise<unknown> => {
    if (isUrl(source)) return source;
    const { size, mtimeMs } = await stat(source);
    return [source, size, mtimeMs];
  };
  return Promise.all(
    items.map(async ({ videoPath, audioPath, outputPath, fields }) => [
      await stateOf(videoPath),
      await stateOf(audioPath),
      outputPath,
      fields,
    ]),
  );
}

/** Leaves the batch to the service, or cancels it after a second Ctrl-C. Returns the error of the command. */
async function leave(
  client: LipsyncClient,
  { batch }: RemoteBatchJournal,
  { interrupts, terminal: { stderr } }: { readonly interrupts: Interrupts; readonly terminal: Terminal },
): Promise<LipsyncError> {
  const id = batch?.id ?? null;
  if (id === null) return new LipsyncError('canceled', 'Interrupted before the service had accepted the batch.');
  writeLine(stderr, `The service continues the batch ${id}. Press Ctrl-C again within 3 s to cancel it.`);
  if (!(await interrupts.isPressedAgain(secondKeyMs)))
    return new LipsyncError('canceled', `Interrupted. The same command follows the batch ${id} again.`);
  await client.batches.cancel(id, { signal: AbortSignal.timeout(cancelLimitMs) });
  return new LipsyncError('canceled', `The batch ${id} is canceled.`);
}

function toUsageError(
  { refusal, rows: submitted }: RefusedItemsError,
  rows: readonly ManifestRow[],
  flags: OptionFlags,
): UsageError {
  return new UsageError(
    flags.nameFlags(refusal.message),
    refusal.errors.map(({ field, message }) => {
      const [, item, name = ''] = /^items\.(\d+)(?:\.(.*))?$/.exec(field) ?? [];
      if (item === undefined) return toFieldProblem(flags, field, message);
      // The service counts the lines of the manifest that it was sent.
      const problem = { field: name, message: message.replace(/ \(line \d+\)$/, '') };
      return toLineProblem(rows, submitted[Number(item)] ?? 0, problem);
    }),
  );
}
