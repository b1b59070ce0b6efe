import { LipsyncError } from '../errors/index.ts';

/**
 * Does a step of a job that no provider is asked for, and once more when the media tools failed at it, which may pass.
 * Throws what the last try threw; an aborted step is not tried again.
 */
export async function againOnce<Result>(signal: AbortSignal, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step();
  } catch (error) {
    if (signal.aborted || !LipsyncError.isInstance(error) || error.code !== 'media_failed') throw error;
    return step();
  }
}
