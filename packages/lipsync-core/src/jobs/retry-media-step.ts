import { toLipsyncError } from '../errors/index.ts';
import { decideRetry } from '../providers/retry-policy.ts';

/** Runs a media step outside of any provider, and repeats it as the retry policy decides. Throws the last error. */
export async function retryMediaStep<Result>(signal: AbortSignal, step: () => Promise<Result>): Promise<Result> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await step();
    } catch (error) {
      const decision = decideRetry({ type: 'media_step' }, toLipsyncError(error), { failures });
      if (signal.aborted || decision.type !== 'retry') throw error;
    }
  }
}
