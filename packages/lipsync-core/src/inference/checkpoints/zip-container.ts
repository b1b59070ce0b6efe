import type { CheckpointContainer } from './checkpoint-container.ts';
import { quoted } from '../../errors/quoted-text.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';
import type { CheckpointFile } from './checkpoint-file.ts';
import type { CheckpointLimits } from './checkpoint-limits.ts';
import type { PickleValue } from './pickle/pickle-values.ts';
import { readPickle } from './pickle/read-pickle.ts';
import { storageBytes, type Storage } from './stored-tensor.ts';
import { createTorchWorld } from './torch-world.ts';
import { listZipMembers, type ZipMembers } from './zip-members.ts';

const objectMember = /^([^/]+)\/data\.pkl$/;
const longestByteOrderBytes = 16;

/** Reads the object of a zip checkpoint: `FOLDER/data.pkl`, with the storage of key K in `FOLDER/data/K`. */
export async function readZipContainer(file: CheckpointFile, limits: CheckpointLimits): Promise<CheckpointContainer> {
  const members = await listZipMembers(file, limits);
  const folder = findFolder(members.names);
  requireWeights(members.names, folder);
  await requireLittleEndian(file, members, folder);
  const root = await readObject(file, members, `${folder}/data.pkl`, limits);
  return {
    root,
    async locate(storages) {
      const located = new Map<string, number>();
      for (const storage of storages) located.set(storage.key, await locateStorage(members, folder, storage));
      return located;
    },
  };
}

function findFolder(names: ReadonlySet<string>): string {
  const folders = Array.from(names).flatMap((name) => objectMember.exec(name)?.[1] ?? []);
  const [folder] = folders;
  if (folder === undefined || folders.length > 1)
    throw invalidCheckpoint('one data.pkl in a folder of the archive', `${folders.length}`);
  return folder;
}

function requireWeights(names: ReadonlySet<string>, folder: string): void {
  const isProgram =
    names.has(`${folder}/constants.pkl`) || Array.from(names).some((name) => name.startsWith(`${folder}/code/`));
  if (isProgram)
    throw invalidCheckpoint(
      'weights that torch.save wrote',
      'a TorchScript program; save its state_dict() with torch.save',
    );
}

async function requireLittleEndian(file: CheckpointFile, members: ZipMembers, folder: string): Promise<void> {
  const name = `${folder}/byteorder`;
  // Archives from before PyTorch 2.1 do not say, and are little-endian.
  if (!members.names.has(name)) return;
  const order = Buffer.from(await readMember(file, members, name, longestByteOrderBytes)).toString('latin1');
  if (order !== 'little') throw invalidCheckpoint('little-endian storages', `the byte order ${quoted(order)}`);
}

async function readObject(
  file: CheckpointFile,
  members: ZipMembers,
  name: string,
  limits: CheckpointLimits,
): Promise<PickleValue> {
  const bytes = await readMember(file, members, name, limits.pickleBytes);
  const pickle = readPickle(bytes, createTorchWorld(), limits);
  if (pickle === undefined) throw invalidCheckpoint('a whole pickle', `the end of ${quoted(name)} within it`);
  return pickle.value;
}

async function readMember(
  file: CheckpointFile,
  members: ZipMembers,
  name: string,
  mostBytes: number,
): Promise<Uint8Array> {
  const { position, lengthBytes } = await members.locate(name);
  if (lengthBytes > mostBytes)
    throw invalidCheckpoint(`at most ${mostBytes} bytes in ${quoted(name)}`, `${lengthBytes}`);
  const bytes = new Uint8Array(lengthBytes);
  await file.read(bytes, position);
  return bytes;
}

async function locateStorage(members: ZipMembers, folder: string, storage: Storage): Promise<number> {
  const name = `${folder}/data/${storage.key}`;
  const { position, lengthBytes } = await members.locate(name);
  if (lengthBytes !== storageBytes(storage))
    throw invalidCheckpoint(`${storageBytes(storage)} bytes in ${quoted(name)}`, `${lengthBytes}`);
  return position;
}
