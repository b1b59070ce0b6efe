import { readFile, writeFile } from 'node:fs/promises';
import type { PipelineOutcome } from '../../src/jobs/lipsync-pipeline.ts';
import type { PipelineContext, PipelineInput } from '../../src/jobs/pipeline-types.ts';

/** What a pipeline does in a test. */
export type Script = (input: PipelineInput, context: PipelineContext) => Promise<PipelineOutcome>;

/** A take that says which inputs it was made of. */
export const makeTake: Script = async ({ workspace, fetchInputs }) => {
  const { clipPath, speechPath } = await fetchInputs();
  const takePath = workspace.file('take.mp4');
  await writeFile(takePath, `${await readFile(clipPath, 'utf8')} speaking ${await readFile(speechPath, 'utf8')}`);
  return {
    type: 'made',
    takePath,
    methodUsed: 'preview',
    degraded: true,
    durationMs: 1_000,
    warnings: [{ code: 'degraded', message: 'A stand-in.' }],
  };
};

/** Works until it is stopped, then throws as work does that was cut off: with something that is no error of ours. */
export function workUntilStopped(onStart: (context: PipelineContext) => unknown = () => undefined): Script {
  return async (_, context) => {
    await onStart(context);
    await new Promise<void>((resolve) => {
      if (context.signal.aborted) resolve();
      else context.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    throw new Error('cut off');
  };
}

/** Fetches the inputs; for jobs that get no further. */
export const fetchInVain: Script = async ({ fetchInputs }) => {
  await fetchInputs();
  throw new Error('The inputs could be fetched.');
};

export const neverCalled: Script = () => Promise.reject(new Error('The pipeline was started.'));
