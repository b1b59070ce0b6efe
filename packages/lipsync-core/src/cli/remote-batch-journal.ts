import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { errnoCode } from '../errors/system-error.ts';
import { createFolder } from '../processes/workspace.ts';
import { renameDurably } from '../storage/durable-files.ts';
import type { BatchResult } from './batch-report.ts';

const stateSchema = z.object({
  batch: z.object({ id: z.string().nullable(), idempotencyKey: z.string(), items: z.array(z.int().min(0)) }).nullable(),
  complete: z.record(z.string(), z.looseObject({ output_name: z.string() })),
});

/** The batch at the service that this command waits for. */
export interface SubmittedBatch {
  /** Null until the service has answered. */
  readonly id: string | null;
  readonly idempotencyKey: string;
  /** Rows of the manifest, in the order of the items of the batch. */
  readonly items: readonly number[];
}

/**
 * What an earlier run of the same command has done: a file in the folder of the outputs, which is deleted once everything
 * is complete. The name depends on the batch, so several batches may share a folder.
 */
export class RemoteBatchJournal {
  readonly #folder: string;
  readonly #path: string;
  #batch: SubmittedBatch | null = null;
  readonly #complete = new Map<number, BatchResult>();
  #writing: Promise<void> = Promise.resolve();

  private constructor(folder: string, identity: unknown) {
    const digest = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 16);
    this.#folder = folder;
    this.#path = join(folder, `.lipsync-batch-${digest}.json`);
  }

  /** Opens the journal of the batch that `identity` describes. A journal that cannot be read counts as none. */
  static async open(folder: string, identity: unknown): Promise<RemoteBatchJournal> {
    const journal = new RemoteBatchJournal(folder, identity);
    const text = await readFile(journal.#path, 'utf8').catch((error: unknown) => {
      if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return 'null';
      throw error;
    });
    const stored = stateSchema.safeParse(parseJson(text));
    if (!stored.success) return journal;
    journal.#batch = stored.data.batch;
    // `as`: only this class writes these results.
    for (const [item, result] of Object.entries(stored.data.complete))
      journal.#complete.set(Number(item), result as unknown as BatchResult);
    return journal;
  }

  get batch(): SubmittedBatch | null {
    return this.#batch;
  }

  readComplete(item: number): BatchResult | undefined {
    return this.#complete.get(item);
  }

  async setBatch(batch: SubmittedBatch | null): Promise<void> {
    this.#batch = batch;
    if (!batch && this.#complete.size === 0) await this.delete();
    else await this.#save();
  }

  async setComplete(result: BatchResult): Promise<void> {
    this.#complete.set(result.item, result);
    await this.#save();
  }

  /** Forgets an item whose output is gone. */
  forget(item: number): void {
    this.#complete.delete(item);
  }

  async delete(): Promise<void> {
    await this.#writing;
    await rm(this.#path, { force: true });
  }

  /** One write at a time: each has all that is known when it starts. */
  #save(): Promise<void> {
    const save = async (): Promise<void> => {
      await createFolder(this.#folder);
      const partPath = `${this.#path}.${process.pid}.part`;
      const complete = Object.fromEntries(this.#complete);
      await writeFile(partPath, JSON.stringify({ batch: this.#batch, complete }));
      await renameDurably(partPath, this.#path);
    };
    this.#writing = this.#writing.then(save, save);
    return this.#writing;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
