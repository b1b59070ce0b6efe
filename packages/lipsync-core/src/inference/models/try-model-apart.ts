import { resolveEntry } from '../../processes/entry.ts';
import { toError, type CarriedFailure } from '../../errors/carried-failure.ts';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { describeExit, ManagedChild } from '../../processes/managed-child.ts';
import type { NetworkKind, TriedFacts } from './network-kind.ts';

export interface TryModelOptions {
  /** The networks that the model may have; without matching ports it is tried as the first. */
  readonly kinds: readonly NetworkKind[];
  readonly signal: AbortSignal;
  readonly limitMs: number;
}

/** The one message of the process that tries a model. */
export type TriedModel = ({ readonly type: 'tried' } & TriedFacts) | CarriedFailure;

/**
 * Loads a model and runs it once on test inputs, in a separate process, because an untrusted model may run forever or
 * exhaust memory, and a running model cannot be stopped from within. Throws `model_invalid` also when the process
 * crashes or exceeds `limitMs`, and the abort error. The process has been killed when this settles.
 */
export async function tryModelApart(path: string, { kinds, signal, limitMs }: TryModelOptions): Promise<TriedFacts> {
  if (signal.aborted) throw abortError(signal);
  const child = ManagedChild.startModule({
    entry: resolveEntry('./try-model-process', import.meta.url),
    arguments: [path, ...kinds.map(({ trialModule }) => trialModule.href)],
  });
  const onAbort = (): void => void child.kill();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const outcome = await waitForOutcome(child, limitMs);
    if (outcome.type === 'failed') throw toError(outcome);
    return { facts: outcome.facts, summary: outcome.summary };
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    await child.kill();
  }
}

function waitForOutcome(child: ManagedChild, limitMs: number): Promise<TriedModel> {
  const { promise, resolve, reject } = Promise.withResolvers<TriedModel>();
  const limit = setTimeout(() => reject(notTried(`It did not finish within ${limitMs / 1000} s.`)), limitMs);
  child.onMessage(resolve);
  child.onExit((exit) => reject(notTried(`The process that ran it ended (${describeExit(exit)}).`)));
  return promise.finally(() => clearTimeout(limit));
}

function notTried(finding: string): LipsyncError {
  return new LipsyncError('model_invalid', `The model cannot be run here. ${finding} Fetch or import it again.`);
}
