import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareVideo } from '../../src/fingerprint/compare.ts';
import { unpackFingerprint } from '../../src/fingerprint/fingerprint.ts';
import { FingerprintSearch } from '../../src/fingerprint/fingerprint-search.ts';
import { FingerprintStore } from '../../src/fingerprint/fingerprint-store.ts';
import { fingerprintVideoTask } from '../../src/fingerprint/fingerprint-video-task.ts';
import { judgeSimilarity } from '../../src/fingerprint/verdict.ts';
import { readVideoQuery } from '../../src/fingerprint/video-query.ts';
import { RenderResources } from '../../src/processes/render-task.ts';
import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { processTable } from '../../src/testing/process-table.ts';
import { limits, makeMedia, x264 } from '../media/make-media.ts';

const slow = { timeout: 120_000 } as const;
const presenter = fileURLToPath(new URL('../../../../samples/presenter.mp4', import.meta.url));
const speech = fileURLToPath(new URL('../../../../samples/speech.wav', import.meta.url));
const { signal } = new AbortController();
const caller = { signal, mayAccess: () => true };
let folder: string;
let state: SqliteStateStore;
let store: FingerprintStore;
let search: FingerprintSearch;
let output: string;

/** A take stands for an output: the lips of the presenter under other words. */
async function makeTake(name: string, startS: string, ...sound: readonly string[]): Promise<string> {
  const picture = ['-ss', startS, '-t', '3.2', '-i', presenter, ...sound, '-map', '0:v', '-map', '1:a'];
  return makeMedia(...picture, '-vf', 'scale=320:180', ...x264, '-shortest', join(folder, name));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-fingerprint-'));
  state = new SqliteStateStore({ path: join(folder, 'state.sqlite') });
  store = new FingerprintStore({ state });
  search = new FingerprintSearch({ store, limits });
  output = await makeTake('output.mp4', '0.5', '-t', '3.2', '-i', speech);
  const resources = new RenderResources();
  const fingerprint = await fingerprintVideoTask({ path: output, limits }, { signal, resources });
  await store.save({ id: 'job_1', owner: 'alice' }, fingerprint);
}, 180_000);
afterAll(async () => {
  await state.close();
  await rm(folder, { recursive: true, force: true });
});

/** In this process, which takes less time than a search. */
async function judge(path: string): Promise<string | null> {
  const query = await readVideoQuery(path, { limits, signal });
  return judgeSimilarity(compareVideo(query, unpackFingerprint((await store.find('job_1')) ?? '')));
}

describe('A file that is looked up', slow, () => {
  it('A copy at half size, cropped by a tenth, is found with its job, through another process.', async () => {
    const change = ['-vf', 'crop=288:162,scale=160:90', '-b:a', '64k', ...x264];
    const copy = await makeMedia('-i', output, ...change, join(folder, 'small.mp4'));
    const found = { match: 'output', jobId: 'job_1', owner: 'alice' };
    expect(await search.find(copy, caller)).toMatchObject({ searched: 1, reason: null, found });
  });

  it.each([
    ['with a border, at 30 frames per second', ['-vf', 'pad=384:216:40:20', '-r', '30', ...x264]],
    ['without sound', ['-an', '-c:v', 'copy']],
  ])('A copy %s is the output.', async (name, change) => {
    expect(await judge(await makeMedia('-i', output, ...change, join(folder, `${name}.mp4`)))).toBe('output');
  });

  it('The clip, and another take of it, have the same picture and another sound.', async () => {
    const source = await makeTake('source.mp4', '0.5', '-ss', '0.5', '-i', presenter);
    const other = await makeTake('other.mp4', '3', '-ss', '4', '-i', speech);
    for (const path of [source, other]) expect(await judge(path)).toBe('same_picture_other_sound');
  });

  it('The speech with other lips is no copy of the output, and another video resembles nothing.', async () => {
    const dubbed = await makeTake('dubbed.mp4', '3', '-t', '3.2', '-i', speech);
    expect(await judge(dubbed)).toBe('same_picture_and_sound');
    const source = ['-f', 'lavfi', '-i', 'testsrc2=s=320x240:d=2', '-f', 'lavfi', '-i', 'sine=300:d=2'];
    expect(await judge(await makeMedia(...source, ...x264, join(folder, 'bars.mp4')))).toBeNull();
  });

  it('A search that is aborted reads no further outputs.', async () => {
    const abort = new AbortController();
    const lists: number[] = [];
    const endless = {
      find: (id: string) => store.find(id),
      async *listKeys() {
        lists.push(0);
        // The first list only shows whether there is any output.
        for await (const page of store.listKeys()) yield page;
        while (lists.length > 1 && lists.length < 100) {
          lists.push(1);
          abort.abort();
          yield [];
        }
      },
    };
    const searching = new FingerprintSearch({ store: endless, limits }).find(output, {
      ...caller,
      signal: abort.signal,
    });
    await expect(searching).rejects.toMatchObject({ code: 'canceled' });
    expect(lists).toEqual([0, 0, 1]);
  });

  it('A search whose process ends while it compares has counted the outputs, and does not blame the decoder.', async () => {
    const ending = {
      listKeys: () => store.listKeys(),
      find: async () => {
        for (const { pid, parent, command } of processTable())
          if (parent === process.pid && command.includes('lookup-process')) process.kill(pid, 'SIGKILL');
        return store.find('job_1');
      },
    };
    const result = await new FingerprintSearch({ store: ending, limits }).find(output, caller);
    expect(result).toEqual({ found: null, searched: 1, reason: 'The file could not be compared: SIGKILL.' });
  });

  it('A file that cannot be decoded, or exceeds the limit of memory or time, is not compared.', async () => {
    const damaged = join(folder, 'damaged.mp4');
    await writeFile(damaged, 'no video');
    expect(await search.find(damaged, caller)).toMatchObject({ found: null, searched: 0, reason: expect.any(String) });
    const small = new FingerprintSearch({ store, limits, maxMemoryBytes: 1024 });
    expect((await small.find(output, caller)).reason).toMatch(/Decoding the file exceeds the memory limit/);
    const hasty = new FingerprintSearch({ store, limits, limitMs: 1 });
    expect((await hasty.find(output, caller)).reason).toMatch(/Decoding the file exceeds the time limit/);
    await expect(search.find(output, { ...caller, signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
      code: 'canceled',
    });
  });
});
