/**
 * `node store-object.ts MIB FOLDER`: stores an object with the artifact store of the environment, and prints a
 * `StoreReport` as JSON.
 */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { configFromEnvironment } from '../../packages/lipsync-core/src/config.ts';
import { createArtifactStore } from '../../packages/lipsync-core/src/storage/create-artifact-store.ts';

export const storeReportSchema = z.object({
  firstMib: z.number(),
  peakMib: z.number(),
  putS: z.number(),
  materializeS: z.number(),
  publishS: z.number(),
  readS: z.number(),
  /** Whether the whole content and a range of it are read as they were stored. */
  isEqual: z.boolean(),
});
export type StoreReport = z.infer<typeof storeReportSchema>;

const mebibyte = 1024 ** 2;
const sampleEveryMs = 50;
/** A range in the middle, over a boundary of the content's blocks. */
const rangeBytes = 3 * mebibyte;

/** Blocks of a mebibyte that differ in their first bytes. */
class Content {
  readonly #block = randomBytes(mebibyte);
  readonly sizeMib: number;

  constructor(sizeMib: number) {
    this.sizeMib = sizeMib;
  }

  blockAt(index: number): Buffer {
    const block = Buffer.from(this.#block);
    block.writeUInt32BE(index);
    return block;
  }

  *blocks(): Generator<Buffer> {
    for (let index = 0; index < this.sizeMib; index += 1) yield this.blockAt(index);
  }
}

async function storeObject(sizeMib: number, folder: string): Promise<StoreReport> {
  const content = new Content(sizeMib);
  const store = createArtifactStore(configFromEnvironment());
  await store.register();
  const firstMib = process.memoryUsage.rss() / mebibyte;
  let peakMib = firstMib;
  const sampling = setInterval(() => {
    peakMib = Math.max(peakMib, process.memoryUsage.rss() / mebibyte);
  }, sampleEveryMs);
  const outputKey = 'outputs/soak/object.bin';
  const localPath = join(folder, 'local.bin');
  const digest = createHash('sha256');
  for (const block of content.blocks()) digest.update(block);
  const expected = digest.digest('hex');
  try {
    const [putS, stored] = await timed(() =>
      store.putInput(Readable.from(content.blocks(), { objectMode: false }), { maxBytes: Infinity }),
    );
    const [materializeS] = await timed(() => store.materialize(stored.key, localPath));
    const [publishS] = await timed(() => store.publish(localPath, outputKey));
    const [readS, found] = await timed(async () => hashOf(await store.read(outputKey)));
    const start = Math.floor(sizeMib / 2) * mebibyte - mebibyte / 2;
    const range = await store.read(outputKey, { start, end: start + rangeBytes - 1 });
    const isRangeEqual = (await hashOf(range)) === hashOfRange(content, start);
    await store.delete(stored.key);
    await store.delete(outputKey);
    const isEqual = stored.sha256 === expected && found === expected && isRangeEqual;
    return { firstMib, peakMib, putS, materializeS, publishS, readS, isEqual };
  } finally {
    clearInterval(sampling);
  }
}

async function timed<Result>(work: () => Promise<Result>): Promise<readonly [number, Result]> {
  const startedMs = performance.now();
  const result = await work();
  return [(performance.now() - startedMs) / 1000, result];
}

async function hashOf(content: Readable): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of content) digest.update(chunk);
  return digest.digest('hex');
}

function hashOfRange(content: Content, start: number): string {
  const firstBlock = Math.floor(start / mebibyte);
  const blocks = Array.from({ length: rangeBytes / mebibyte + 1 }, (_, index) => content.blockAt(firstBlock + index));
  const offset = start - firstBlock * mebibyte;
  return createHash('sha256')
    .update(Buffer.concat(blocks).subarray(offset, offset + rangeBytes))
    .digest('hex');
}

if (import.meta.main) {
  const [sizeMib, folder = ''] = process.argv.slice(2);
  console.log(JSON.stringify(await storeObject(Number(sizeMib), folder)));
}
