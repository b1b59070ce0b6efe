/** Entry of a process that decodes an untrusted video and compares it with outputs. Started by `FingerprintSearch`. */
import { toFailure, type CarriedFailure } from '../errors/carried-failure.ts';
import { compareWithOutputs, type Similarity } from './compare.ts';
import { keysOf, readVideoQuery } from './video-query.ts';

/** To the process: what the video is compared with. */
export interface CompareRequest {
  /** Packed fingerprints. */
  readonly outputs: readonly string[];
}

/** From the process: the keys of the video, then its similarity to each of the outputs, null for an unreadable one. */
export type LookupMessage =
  | { readonly type: 'keys'; readonly sound: Uint32Array; readonly pictures: Uint32Array }
  | { readonly type: 'compared'; readonly similarities: readonly (Similarity | null)[] }
  | CarriedFailure;

const [path = '', limits = '{}'] = process.argv.slice(2);
process.on('disconnect', () => {
  // A parent that has ended needs no answer. This process leads its group, so its ffmpeg processes end with it.
  process.kill(-process.pid, 'SIGKILL');
});

function send(message: LookupMessage): void {
  process.send?.(message);
}

async function lookUp(): Promise<void> {
  const { signal } = new AbortController();
  // The parent kills this process and its children when it is aborted.
  const query = await readVideoQuery(path, { limits: JSON.parse(limits), signal });
  const { sound, pictures } = keysOf(query);
  process.once('message', ({ outputs }: CompareRequest) => {
    send({ type: 'compared', similarities: compareWithOutputs(query, outputs) });
  });
  send({ type: 'keys', sound: Uint32Array.from(sound), pictures });
}

await lookUp().catch((error: unknown) => send(toFailure(error)));
