import { join } from 'node:path';
import type { SigningIdentity } from '../../src/marking/cose-signature.ts';
import { markOutputTask } from '../../src/marking/mark-output-task.ts';
import { RenderResources } from '../../src/processes/render-task.ts';
import { makeMedia, x264 } from '../media/make-media.ts';

/** Makes a marked output of one second in `folder`, whose inputs have no marks, and returns its path. */
export async function makeMarked(folder: string, identity: SigningIdentity): Promise<string> {
  const sourcePath = await makeMedia('-f', 'lavfi', '-i', 'testsrc=s=64x64:d=1', ...x264, join(folder, 'take.mp4'));
  const targetPath = join(folder, 'marked.mp4');
  const facts = {
    id: crypto.randomUUID(),
    markedAt: '2026-11-29T12:00:00.000Z',
    provider: 'preview',
    modelDigest: null,
    version: '1.2.3',
  };
  const { signal } = new AbortController();
  const context = { signal, resources: new RenderResources(), onProgress: () => undefined };
  const inputs = { clipPath: null, speechPath: null };
  await markOutputTask(
    { sourcePath, targetPath, ...inputs, facts, identity, withXmp: true, aigcProducer: null, timeStampAuthority: null },
    context,
  );
  return targetPath;
}
