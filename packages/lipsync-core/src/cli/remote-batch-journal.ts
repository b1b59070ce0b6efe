import { createHash } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { LipsyncError } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';
import { isGone, thisProcess } from '../processes/process-owner.ts';
import { createFolder, ownerOf, processFolderName } from '../processes/workspace.ts';
import { partSuffix, renameDurably } from '../storage/durable-files.ts';
import type { BatchResult } from './batch-report.ts';

const stateSchema = z.object({
  batch: z.object({ id: z.string().nullable(), idempotencyKey: z.string(), items: z.array(z.int().min(0)) }).nullable(),
  /** Absent in journals of earlier versions. */
  spentUsd: z.number().min(0).default(0),
  complete: z.record(z.string(), z.looseObject({ output_name: z.string() })),
});

const lockSuffix = '.lock';

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
  #spentUsd = 0;
  #lockPath = '';
  readonly #complete = new Map<number, BatchResult>();
  #writing: Promise<void> = Promise.resolve();

  private constructor(folder: string, identity: unknown) {
    const digest = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 16);
    this.#folder = folder;
    this.#path = join(folder, `.lipsync-batch-${digest}.json`);
  }

  /**
   * Opens the journal of the batch that `identity` describes for this process; call `close` afterwards. Throws `conflict`
   * while another process runs the same batch, and for a journal that cannot be read: its batch may cost money again.
   */
  static async open(folder: string, identity: unknown): Promise<RemoteBatchJournal> {
    const journal = new RemoteBatchJournal(folder, identity);
    await createFolder(folder);
    await journal.#lock();
    try {
      await journal.#read();
    } catch (error) {
      await journal.close();
      throw error;
    }
    return journal;
  }

  /**
   * Every process adds its lock before it looks for others, so that at most one continues. Deletes what killed processes
   * left.
   */
  async #lock(): Promise<void> {
    const prefix = `${basename(this.#path)}.`;
    const ownLock = `${prefix}${processFolderName(await thisProcess())}${lockSuffix}`;
    this.#lockPath = join(this.#folder, ownLock);
    await writeFile(this.#lockPath, '');
    const others = (await readdir(this.#folder)).filter((name) => name.startsWith(prefix) && name !== ownLock);
    for (const name of others.filter((other) => other.endsWith(lockSuffix))) {
      const path = join(this.#folder, name);
      const owner = ownerOf(name.slice(prefix.length, -lockSuffix.length));
      if (owner && (await isGone(owner))) {
        await rm(path, { force: true });
        continue;
      }
      await this.close();
      const message = `Another process is running this batch. Wait for it, or end it. If there is none, delete ${path}.`;
      throw new LipsyncError('conflict', message);
    }
    for (const name of others.filter((other) => other.endsWith(partSuffix)))
      await rm(join(this.#folder, name), { force: true });
  }

  async #read(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch((error: unknown) => {
      if (errnoCode(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return;
    const stored = stateSchema.safeParse(parseJson(text));
    if (!stored.success) {
      const message = `The journal ${this.#path} is damaged. Look for the batch at the service, then delete the file to start again.`;
      throw new LipsyncError('conflict', message);
    }
    this.#batch = stored.data.batch;
    this.#spentUsd = stored.data.spentUsd;
    // `as`: only this class writes these results.
    for (const [item, result] of Object.entries(stored.data.complete))
      this.#complete.set(Number(item), result as unknown as BatchResult);
  }

  /** Lets other processes run the batch. */
  async close(): Promise<void> {
    await rm(this.#lockPath, { force: true });
  }

  get batch(): SubmittedBatch | null {
    return this.#batch;
  }

  /** What the batches of earlier runs have cost, in USD. */
  get spentUsd(): number {
    return this.#spentUsd;
  }

  /** Adds the cost of a batch that has ended. It is stored with the batch that follows. */
  addSpent(usd: number): void {
    this.#spentUsd += usd;
  }

  readComplete(item: number): BatchResult | undefined {
    return this.#complete.get(item);
  }

  async setBatch(batch: SubmittedBatch | null): Promise<void> {
    this.#batch = batch;
    if (!batch && this.#complete.size === 0 && this.#spentUsd === 0) await this.delete();
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
      const partPath = `${this.#path}.${process.pid}${partSuffix}`;
      const complete = Object.fromEntries(this.#complete);
      await writeFile(partPath, JSON.stringify({ batch: this.#batch, spentUsd: this.#spentUsd, complete }));
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
