import { LipsyncError } from '../errors/index.ts';

const digestPattern = /^[0-9a-f]{64}$/;
const jobIdPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/;
/** Never starts with a dot, so no name is `..` and none looks like a file that is still being written. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export type ArtifactLocation =
  | { readonly kind: 'input'; readonly digest: string }
  | { readonly kind: 'output'; readonly jobId: string; readonly name: string };

/** Key of an input by the SHA-256 of its content, in lower-case hex. */
export function inputKey(digest: string): string {
  const key = `inputs/${digest}`;
  parseArtifactKey(key);
  return key;
}

/**
 * Takes a key apart. Keys come from our own records, so one that is neither `inputs/<sha256>` nor
 * `outputs/<job>/<name>` is a fault of ours: throws `internal`, and nothing is looked up.
 */
export function parseArtifactKey(key: string): ArtifactLocation {
  const [root, folder = '', name, ...rest] = key.split('/');
  if (rest.length === 0 && root === 'inputs' && name === undefined && digestPattern.test(folder)) {
    return { kind: 'input', digest: folder };
  }
  if (
    rest.length === 0 &&
    root === 'outputs' &&
    name !== undefined &&
    jobIdPattern.test(folder) &&
    namePattern.test(name)
  ) {
    return { kind: 'output', jobId: folder, name };
  }
  throw new LipsyncError('internal', 'A file was asked for under a name that cannot exist. Report this.', {
    cause: new Error(`not an artifact key: ${JSON.stringify(key)}`),
  });
}
