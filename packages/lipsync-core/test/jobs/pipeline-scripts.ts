import { readFile, writeFile } from 'node:fs/promises';
import type { PipelineOutcome } from '../../src/jobs/lipsync-pipeline.ts';
import type { PipelineContext, PipelineInput } from '../../src/jobs/pipeline-types.ts';

/** Body of a pipeline in a test. */
export type Script = (input: PipelineInput, context: PipelineContext) => Promise<PipelineOutcome>;

/** Makes a take whose content names its inputs. */
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

/** Waits for the abort, then throws an error that is no `LipsyncError`, as interrupted work does. */
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

/** Fetches the inputs, for jobs that fail there. */
export const fetchThenFail: Script = async ({ fetchInputs }) => {
  await fetchInputs();
  throw new Error('The inputs could be fetched.');
};

export const neverCalled: Script = () => Promise.reject(new Error('The pipeline was started.'));
