import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { artifactStoreSuite } from '../testing/artifact-store-suite.ts';
import { createLocalArtifactStore, type LocalArtifactStoreOptions } from './local-artifact-store.ts';
import { sweepAbandonedParts } from './sweep-abandoned-parts.ts';

artifactStoreSuite('local disk', async () => {
  const root = await mkdtemp(join(tmpdir(), 'artifacts-'));
  const store = createLocalArtifactStore({ inputsDir: join(root, 'in'), outputsDir: join(root, 'out') });
  return {
    store,
    leftovers: async () => (await Promise.all(['in', 'out'].map((name) => listOrNothing(join(root, name))))).flat(),
    dispose: () => rm(root, { recursive: true, force: true }),
  };
});

describe('local disk', () => {
  let root: string;
  let dirs: LocalArtifactStoreOptions;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'artifacts-'));
    dirs = { inputsDir: join(root, 'in'), outputsDir: join(root, 'out') };
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it('materializes by hard link, without copying', async () => {
    const store = createLocalArtifactStore(dirs);
    const { key } = await store.putInput(Readable.from([Buffer.from('clip')]), { maxBytes: 10 });
    await store.materialize(key, join(root, 'clip'));
    expect((await stat(join(root, 'clip'))).nlink).toBe(2);
  });

  it('publishes from another file system', async ({ skip }) => {
    const elsewhere = await otherFileSystem(root);
    if (elsewhere === undefined) return skip('this machine has no second writable file system');
    const source = join(elsewhere, 'take.mp4');
    await writeFile(source, 'a take');
    try {
      await createLocalArtifactStore(dirs).publish(source, 'outputs/job_1/output.mp4');
      expect(await readdir(join(dirs.outputsDir, 'job_1'))).toEqual(['output.mp4']);
      expect(await readdir(elsewhere)).toEqual([]);
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });

  it('materializes on another file system by a copy', async ({ skip }) => {
    const elsewhere = await otherFileSystem(root);
    if (elsewhere === undefined) return skip('this machine has no second writable file system');
    try {
      const store = createLocalArtifactStore(dirs);
      const { key } = await store.putInput(Readable.from([Buffer.from('clip')]), { maxBytes: 10 });
      await store.materialize(key, join(elsewhere, 'clip'));
      expect(await readdir(elsewhere)).toEqual(['clip']);
      expect(await readFile(join(elsewhere, 'clip'), 'utf8')).toBe('clip');
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });

  it('sweeps files left half-written, but not fresh ones and not finished ones', async () => {
    const store = createLocalArtifactStore(dirs);
    await store.putInput(Readable.from([Buffer.from('clip')]), { maxBytes: 10 });
    await mkdir(join(dirs.outputsDir, 'job_1'), { recursive: true });
    const abandoned = [join(dirs.inputsDir, '.input.1.part'), join(dirs.outputsDir, 'job_1', '.output.mp4.2.part')];
    const fresh = join(dirs.inputsDir, '.input.3.part');
    for (const path of [...abandoned, fresh]) await writeFile(path, 'half');
    for (const path of abandoned) await utimes(path, 1_000, 1_000);

    const removed = await sweepAbandonedParts(dirs, { olderThanMs: 3_600_000, nowMs: Date.now() });

    expect(removed).toBe(2);
    expect(await readdir(dirs.inputsDir)).toHaveLength(2);
    expect(await readdir(join(dirs.outputsDir, 'job_1'))).toEqual([]);
  });

  it('has nothing to sweep before its folders exist', async () => {
    expect(await sweepAbandonedParts(dirs, { olderThanMs: 0, nowMs: Date.now() })).toBe(0);
  });
});

async function listOrNothing(dir: string): Promise<string[]> {
  return readdir(dir).catch(() => []);
}

async function otherFileSystem(path: string): Promise<string | undefined> {
  try {
    const dir = await mkdtemp('/dev/shm/artifacts-');
    if ((await stat(dir)).dev !== (await stat(path)).dev) return dir;
    await rm(dir, { recursive: true });
  } catch {
    // No such folder, or no right to write: the caller skips.
  }
  return undefined;
}
