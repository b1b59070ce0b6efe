import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isGone, thisProcess, type ProcessOwner } from '../../../processes/process-owner.ts';

/** Process, start and host of the pool that made it. A host's own name could make the path of a socket too long for the system. */
const folderPattern = /^lipsync-(\d{1,10})-(\d{1,15}|unknown)-([0-9a-f]{8})-\w{6}$/;
/** The shortest limit of the systems that we know is 104 bytes; the rest is for the socket's own name. */
const maxFolderPathBytes = 90;

/** Makes a folder for a socket that only this user can enter, and removes those of pools that are gone. The caller removes it. */
export async function openEngineFolder(): Promise<string> {
  const owner = await thisProcess();
  const prefix = `lipsync-${owner.pid}-${owner.startTicks ?? 'unknown'}-${hostDigest(owner)}-`;
  const root = Buffer.byteLength(join(tmpdir(), `${prefix}XXXXXX`)) <= maxFolderPathBytes ? tmpdir() : '/tmp';
  await sweep(root, owner);
  return mkdtemp(join(root, prefix));
}

async function sweep(root: string, self: ProcessOwner): Promise<void> {
  const names = await readdir(root).catch(() => []);
  await Promise.all(
    names.map(async (name) => {
      const owner = ownerOf(name, self);
      // Folders of other users stay; they may not be removed.
      if (owner && (await isGone(owner)))
        await rm(join(root, name), { recursive: true, force: true }).catch(() => undefined);
    }),
  );
}

/** Whose folder it is; undefined for what is no such folder or belongs to another host. */
function ownerOf(name: string, self: ProcessOwner): ProcessOwner | undefined {
  const [, pid, startTicks, host] = folderPattern.exec(name) ?? [];
  if (pid === undefined || host !== hostDigest(self)) return undefined;
  return { pid: Number(pid), startTicks: startTicks === 'unknown' ? null : Number(startTicks), host: self.host };
}

function hostDigest({ host }: ProcessOwner): string {
  return createHash('sha256').update(host).digest('hex').slice(0, 8);
}
