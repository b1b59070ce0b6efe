import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { currentProcess } from '../processes/process-owner.ts';
import { processFolderName } from '../processes/workspace.ts';
import { artifactStoreSuite } from '../testing/artifact-store-suite.ts';
import { partPathFor } from './durable-files.ts';
import { LocalArtifactStore, type LocalArtifactStoreOptions } from './local-artifact-store.ts';

artifactStoreSuite('local disk', async () => {
  const root = await mkdtemp(join(tmpdir(), 'artifacts-'));
  const [inputsDir, outputsDir] = [join(root, 'in'), join(root, 'out')];
  return {
    store: new LocalArtifactStore({ inputsDir, outputsDir }),
    listStored: async () => (await Promise.all([inputsDir, outputsDir].map(listFiles))).flat().sort(),
    async leavePartials() {
      for (const path of [join(inputsDir, '.input.1.part'), join(outputsDir, 'job_1', '.output.mp4.2.part')]) {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, 'half');
      }
    },
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

  it('A local artifact is materialized as a hard link.', async () => {
    const store = new LocalArtifactStore(dirs);
    const { key } = await store.putInput(Readable.from([Buffer.from('clip')]), { maxBytes: 10 });
    await store.materialize(key, join(root, 'clip'));
    expect((await stat(join(root, 'clip'))).nlink).toBe(2);
  });

  it('A sweep deletes the partial file of a dead process at once and keeps that of a living one.', async () => {
    const store = new LocalArtifactStore(dirs);
    await mkdir(dirs.inputsDir);
    const names = [currentProcess(), { ...currentProcess(), pid: spawnSync('true').pid }].map(
      (owner) => `.input.${processFolderName(owner)}.part`,
    );
    for (const name of names) await writeFile(join(dirs.inputsDir, name), 'half');
    expect(await store.sweep({ olderThanMs: 3_600_000, nowMs: Date.now() })).toBe(1);
    expect(await readdir(dirs.inputsDir)).toEqual([names[0]]);
  });

  it('A sweep deletes the test write of a killed process, and no file that a person put into the output folder.', async () => {
    const store = new LocalArtifactStore(dirs);
    await mkdir(dirs.outputsDir);
    const owner = { ...currentProcess(), pid: spawnSync('true').pid };
    for (const name of [`.health.${processFolderName(owner)}.part`, 'download.part'])
      await writeFile(join(dirs.outputsDir, name), 'half');
    expect(await store.sweep({ olderThanMs: 0, nowMs: Date.now() + 60_000 })).toBe(1);
    expect(await readdir(dirs.outputsDir)).toEqual(['download.part']);
  });

  it('A process with another output folder than the registered one has another id, until it is registered itself.', async () => {
    const api = new LocalArtifactStore(dirs);
    const worker = new LocalArtifactStore({ ...dirs, outputsDir: join(root, 'own') });
    // A version that registers nothing.
    expect(await worker.id()).toBe(await api.id());
    const id = await api.register();
    expect(await worker.id()).not.toBe(id);
    expect(await new LocalArtifactStore(dirs).id()).toBe(id);
    expect(await worker.register()).toBe(id);
    expect(await api.id()).not.toBe(id);
  });

  it('A partial file is named for the process that writes it.', () => {
    expect(partPathFor(join(root, 'input'))).toContain(`/.input.process-${process.pid}-`);
  });

  it('An output is published from another file system.', async ({ skip }) => {
    const elsewhere = await otherFileSystem(root);
    if (elsewhere === undefined) return skip('This machine has no second writable file system.');
    const source = join(elsewhere, 'take.mp4');
    await writeFile(source, 'a take');
    try {
      await new LocalArtifactStore(dirs).publish(source, 'outputs/job_1/output.mp4');
      expect(await readdir(join(dirs.outputsDir, 'job_1'))).toEqual(['output.mp4']);
      expect(await readdir(elsewhere)).toEqual([]);
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });

  it('An artifact is materialized on another file system as a copy.', async ({ skip }) => {
    const elsewhere = await otherFileSystem(root);
    if (elsewhere === undefined) return skip('This machine has no second writable file system.');
    try {
      const store = new LocalArtifactStore(dirs);
      const { key } = await store.putInput(Readable.from([Buffer.from('clip')]), { maxBytes: 10 });
      await store.materialize(key, join(elsewhere, 'clip'));
      expect(await readdir(elsewhere)).toEqual(['clip']);
      expect(await readFile(join(elsewhere, 'clip'), 'utf8')).toBe('clip');
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });

  it('The health check names the folder that cannot be written, the reason and the setting.', async () => {
    await writeFile(join(root, 'file'), '');
    const unwritable = join(root, 'file', 'out');
    const { inputs, outputs } = await new LocalArtifactStore({ ...dirs, outputsDir: unwritable }).health();
    expect(inputs.error).toBeNull();
    expect(outputs).toMatchObject({ path: unwritable, error: { code: 'storage_unwritable', folder: unwritable } });
    expect(outputs.error?.message).toMatch(/a part of its path is a file.*LIPSYNC_OUTPUT_DIR/);
  });

  it('A folder that cannot be written is named by its path in the error of an upload and of a publication.', async () => {
    await writeFile(join(root, 'file'), '');
    await writeFile(join(root, 'take.mp4'), 'a take');
    const folder = join(root, 'file', 'below');
    const store = new LocalArtifactStore({ inputsDir: folder, outputsDir: folder });
    const expected = { code: 'storage_unwritable', folder };
    await expect(store.putInput(Readable.from([Buffer.from('clip')]), { maxBytes: 10 })).rejects.toMatchObject(
      expected,
    );
    await expect(store.publish(join(root, 'take.mp4'), 'outputs/job_1/output.mp4')).rejects.toMatchObject(expected);
    expect(await readFile(join(root, 'take.mp4'), 'utf8')).toBe('a take');
  });

  it('A file that cannot be deleted is an error of its folder.', async () => {
    await mkdir(dirs.outputsDir, { recursive: true });
    await writeFile(join(dirs.outputsDir, 'job_1'), '');
    const deleting = new LocalArtifactStore(dirs).delete('outputs/job_1/output.mp4');
    await expect(deleting).rejects.toMatchObject({ code: 'storage_unwritable', folder: dirs.outputsDir });
  });
});

async function listFiles(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function otherFileSystem(path: string): Promise<string | undefined> {
  try {
    const dir = await mkdtemp('/dev/shm/artifacts-');
    if ((await stat(dir)).dev !== (await stat(path)).dev) return dir;
    await rm(dir, { recursive: true });
  } catch {
    // The folder is missing or not writable: the caller skips the test.
  }
  return undefined;
}
