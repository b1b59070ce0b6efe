import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isGone, thisProcess, type ProcessOwner } from '../../../processes/process-owner.ts';

/** Process id, start time and host digest of the pool. The full host name could exceed the limit of socket paths. */
const folderPattern = /^lipsync-(\d{1,10})-(\d{1,15}|unknown)-([0-9a-f]{8})-\w{6}$/;
/** Socket paths are limited to 104 bytes on some systems; the rest is for the name of the socket. */
const maxFolderPathBytes = 90;

/**
 * Creates a folder for a socket that only this user can enter, and deletes folders of processes that have ended. The
 * caller deletes the new folder.
 */
export async function openEngineFolder(): Promise<string> {
  const owner = await thisProcess();
  const prefix = `lipsync-${owner.pid}-${owner.startTicks ?? 'unknown'}-${hostDigest(owner)}-`;
  const root = Buffer.byteLength(join(tmpdir(), `${prefix}XXXXXX`)) <= maxFolderPathBytes ? tmpdir() : '/tmp';
  await sweepFolders(root, owner);
  return mkdtemp(join(root, prefix));
}

async function sweepFolders(root: string, self: ProcessOwner): Promise<void> {
  const names = await readdir(root).catch(() => []);
  await Promise.all(
    names.map(async (name) => {
      const owner = parseOwner(name, self);
      // Folders of other users cannot be deleted and stay.
      if (owner && (await isGone(owner)))
        await rm(join(root, name), { recursive: true, force: true }).catch(() => undefined);
    }),
  );
}

/** The process that created an engine folder; undefined for other files and for folders of other hosts. */
function parseOwner(name: string, self: ProcessOwner): ProcessOwner | undefined {
  const [, pid, startTicks, host] = folderPattern.exec(name) ?? [];
  if (pid === undefined || host !== hostDigest(self)) return undefined;
  return { pid: Number(pid), startTicks: startTicks === 'unknown' ? null : Number(startTicks), host: self.host };
}

function hostDigest({ host }: ProcessOwner): string {
  return createHash('sha256').update(host).digest('hex').slice(0, 8);
}
