import { createHash, randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Clock } from '../contract/ports.ts';
import { LipsyncError } from '../errors/index.ts';
import type { Warning } from '../contract/provider-types.ts';
import type { Quality } from '../contract/index.ts';
import { isGone, thisProcess, type ProcessOwner } from '../processes/process-owner.ts';
import { listAllDocuments, type Json, type StateStore } from '../storage/state-store.ts';
import type { LocalJobInput } from './local-jobs.ts';
import { isUrl } from './parse-input.ts';

/** The result of an item whose output is complete. */
export interface ItemResult {
  readonly methodUsed: string | null;
  readonly degraded: boolean;
  readonly durationMs: number;
  readonly quality: Quality | null;
  readonly warnings: readonly Warning[];
}

/** What is stored of an item of a batch. */
export interface ItemEntry {
  /** The last job that was started for the item; null before. Its output path was free then. */
  readonly jobId: string | null;
  /** Cost of every job of the item by id, in millionths of a dollar. */
  readonly costs: Readonly<Record<string, number>>;
  readonly result: ItemResult | null;
}

interface BatchEntry {
  /** Under this id the ledger sums up what the batch costs; absent in entries of earlier versions. */
  readonly budgetId?: string;
  readonly owner: ProcessOwner | null;
  readonly changedAtMs: number;
}

const prefix = 'local-batches/';
const keptMs = 30 * 24 * 3_600_000;
const newItem: ItemEntry = Object.freeze({ jobId: null, costs: {}, result: null });

/**
 * What the items of in-process batches have done, in the state store, so that a batch that is started again continues. A
 * batch is recognized by its items: inputs, outputs and options.
 */
export class BatchJournal {
  readonly #state: StateStore;
  readonly #clock: Clock;

  constructor({ state, clock }: { readonly state: StateStore; readonly clock: Clock }) {
    this.#state = state;
    this.#clock = clock;
  }

  /** Opens the journal of a batch for this process. Throws `conflict` while another process runs the same batch. */
  async open(items: readonly LocalJobInput[]): Promise<OpenJournal> {
    await this.#deleteOld();
    const key = `${prefix}${await digestOf(items)}`;
    const known = await this.#readBatch(key);
    if (known?.owner && !(await isGone(known.owner)))
      throw new LipsyncError('conflict', 'Another process is running this batch. Wait for it, or end it.');
    const owner = await thisProcess();
    const budgetId = known?.budgetId ?? `local-${randomUUID()}`;
    await this.#writeBatch(key, known, { owner, budgetId });
    const entries = new Map<string, ItemEntry>();
    for await (const { key: itemKey, document } of listAllDocuments(this.#state, `${key}/`))
      // `as`: only this class writes these documents.
      entries.set(itemKey, document as unknown as ItemEntry);
    const keyOf = (item: number): string => `${key}/${String(item).padStart(4, '0')}`;
    return {
      budgetId,
      read: (item) => entries.get(keyOf(item)) ?? newItem,
      write: async (item, entry) => {
        entries.set(keyOf(item), entry);
        // `as`: costs, results and warnings are JSON.
        await this.#write(keyOf(item), entry as unknown as Json);
      },
      // Kept unless everything is complete: a batch that is started again runs what is not.
      close: async (isComplete) => {
        if (isComplete) await this.#delete(key);
        else await this.#write(key, { budgetId, owner: null, changedAtMs: this.#clock.nowMs() });
      },
    };
  }

  async #readBatch(key: string): Promise<BatchEntry | undefined> {
    return this.#state.transact([key], (documents) => ({
      // `as`: only this class writes these documents.
      result: documents.get(key) as unknown as BatchEntry | undefined,
    }));
  }

  /** Throws `conflict` if another process was faster. */
  async #writeBatch(
    key: string,
    known: BatchEntry | undefined,
    { owner, budgetId }: { readonly owner: ProcessOwner; readonly budgetId: string },
  ): Promise<void> {
    const entry = { budgetId, owner: { ...owner }, changedAtMs: this.#clock.nowMs() };
    await this.#state.transact([key], (documents) => {
      if (JSON.stringify(documents.get(key)) !== JSON.stringify(known))
        throw new LipsyncError('conflict', 'Another process has just started this batch.');
      return { result: undefined, writes: new Map([[key, entry]]) };
    });
  }

  async #write(key: string, document: Json | null): Promise<void> {
    await this.#state.transact([key], () => ({ result: undefined, writes: new Map([[key, document]]) }));
  }

  async #delete(key: string): Promise<void> {
    for await (const { key: itemKey } of listAllDocuments(this.#state, `${key}/`)) await this.#write(itemKey, null);
    await this.#write(key, null);
  }

  /** Deletes the journals of batches that were not continued within a month. */
  async #deleteOld(): Promise<void> {
    for await (const { key, document } of listAllDocuments(this.#state, prefix)) {
      if (key.slice(prefix.length).includes('/')) continue;
      // `as`: only this class writes these documents.
      const { changedAtMs } = document as unknown as BatchEntry;
      if (this.#clock.nowMs() - changedAtMs > keptMs) await this.#delete(key);
    }
  }
}

export interface OpenJournal {
  readonly budgetId: string;
  read(item: number): ItemEntry;
  write(item: number, entry: ItemEntry): Promise<void>;
  /** Ends the claim of this process. */
  close(isComplete: boolean): Promise<void>;
}

/** Digest of a batch. A file that changed makes another batch. */
async function digestOf(items: readonly LocalJobInput[]): Promise<string> {
  const parts = await Promise.all(
    items.map(async ({ videoPath, audioPath, outputPath, options }) => [
      await versionOf(videoPath),
      await versionOf(audioPath),
      outputPath,
      options,
    ]),
  );
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

async function versionOf(source: string): Promise<Json> {
  if (isUrl(source)) return source;
  const { size, mtimeMs } = await stat(source);
  return [source, size, mtimeMs];
}
