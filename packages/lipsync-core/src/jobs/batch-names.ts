import { toDisplayName } from '../storage/display-name.ts';

export const maxBatchItems = 500;
const maxOutputNameLength = 120;
/** Windows opens a device instead of a file with such a name. */
const windowsDevice = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)/i;
/** Name of the list of jobs in an archive; no output has it. */
export const batchManifestName = 'manifest.json';

/** A problem with one item of a batch, counted from 0. */
export interface ItemProblem {
  readonly item: number;
  /** Follows the name of the field in a sentence. */
  readonly message: string;
}

/** What is wrong with the file name of an output; undefined for a plain file name and for none. Pure. */
export function findNameProblem(name: unknown): string | undefined {
  if (name === undefined) return undefined;
  if (typeof name !== 'string') return 'must be text';
  if (name === '') return 'must not be empty';
  if (name.length > maxOutputNameLength) return `must be at most ${maxOutputNameLength} characters long`;
  if (toDisplayName(name, '') !== name || /[:*?"<>|]/.test(name))
    return 'must be a plain file name, without folders and without special or invisible characters';
  if (name.toLowerCase() === batchManifestName) return `must not be ${batchManifestName}`;
  if (windowsDevice.test(name)) return 'must not be the name of a Windows device, with or without an extension';
  if (name.endsWith('.')) return 'must not end with a period, which Windows drops';
  return undefined;
}

/** Finds names that occur twice. Names that differ only in case are one file on many systems. Pure. */
export function findEqualNames(names: readonly (string | undefined)[]): readonly ItemProblem[] {
  const first = new Map<string, number>();
  return names.flatMap((name, item) => {
    if (name === undefined) return [];
    const key = name.toLowerCase();
    const earlier = first.get(key);
    if (earlier !== undefined) return [{ item, message: `is the same as that of item ${earlier}` }];
    first.set(key, item);
    return [];
  });
}

/** The file name of the output of an item that names none, from the path of its clip, which may be that of a URL. Pure. */
export function defaultOutputName(index: number, clipPath: string): string {
  const clipName = toDisplayName(clipPath, 'clip.mp4').replaceAll(/[:*?"<>|%]/g, '_');
  return `${String(index + 1).padStart(4, '0')}-${clipName.replace(/\.[^.]*$/, '')}.mp4`;
}
