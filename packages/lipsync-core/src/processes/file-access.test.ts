import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { protectFiles, protectFolder, type FileAccess } from './file-access.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'file-access-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o7777).toString(8);

describe('protectFolder', () => {
  const cases: readonly [FileAccess, string, string][] = [
    ['owner', '775', '700'],
    ['owner', '2775', '2700'],
    ['group', '2775', '2770'],
    ['group', '750', '750'],
    ['umask', '775', '775'],
  ];
  it.each(cases)('With access %s, an existing folder of mode %s gets mode %s.', async (access, before, after) => {
    const path = join(root, 'data');
    await mkdir(path);
    await chmod(path, Number.parseInt(before, 8));
    expect(await protectFolder(path, access)).toBe(before === after ? 'protected' : 'restricted');
    expect(await modeOf(path)).toBe(after);
  });

  it('A new folder is created for its owner only.', async () => {
    await protectFolder(join(root, 'new', 'data'), 'owner');
    expect(await modeOf(join(root, 'new', 'data'))).toBe('700');
  });

  it('A folder that is shared by everyone, such as /tmp, keeps its mode and is reported as open.', async () => {
    await chmod(root, 0o1777);
    expect(await protectFolder(root, 'owner')).toBe('open');
    expect(await modeOf(root)).toBe('1777');
  });
});

it('A folder that loses permissions at the start of a service is logged once, and a new one is not.', async () => {
  const umask = process.umask();
  const existing = join(root, 'outputs');
  await mkdir(existing);
  await chmod(existing, 0o755);
  const lines: object[] = [];
  const log = (fields: object): void => void lines.push(fields);
  const logger = { debug: log, info: log, warn: log, error: log };
  try {
    await protectFiles([join(root, 'new'), existing], 'owner', logger);
    await protectFiles([join(root, 'new'), existing], 'owner', logger);
  } finally {
    process.umask(umask);
  }
  expect(lines).toEqual([{ folder: existing, access: 'owner' }]);
});
