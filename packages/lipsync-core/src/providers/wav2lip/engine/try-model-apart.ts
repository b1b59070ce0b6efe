import { fork, type ChildProcess } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toError } from '../../../errors/carried-failure.ts';
import { abortError, LipsyncError } from '../../../errors/index.ts';
import { watchExit } from '../../../processes/exit-watch.ts';
import type { Wav2LipModelFacts } from '../model/model-facts.ts';
import type { TriedModel } from './try-model-messages.ts';

export interface TryModelOptions {
  readonly signal: AbortSignal;
  readonly limitMs: number;
}

/**
 * As `tryWav2LipModel`, in a process of its own, because a model from elsewhere may run for ever or ask for all memory
 * and nothing stops a model within. Throws `model_invalid` also when the process ends over it or takes longer than
 * `limitMs`, and what the signal was aborted with. The process is gone afterwards.
 */
export async function tryModelApart(path: string, { signal, limitMs }: TryModelOptions): Promise<Wav2LipModelFacts> {
  if (signal.aborted) throw abortError(signal);
  const child = forkTry(path);
  const onAbort = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const outcome = await outcomeOf(child, limitMs);
    if (outcome.type === 'failed') throw toError(outcome);
    return outcome.facts;
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    child.kill('SIGKILL');
  }
}

/** The same file runs from source and from the build; only its extension differs. */
function forkTry(path: string): ChildProcess {
  const entry = fileURLToPath(
    new URL(`./try-model-process${extname(fileURLToPath(import.meta.url))}`, import.meta.url),
  );
  // In a group of its own, so that the terminal's Ctrl-C reaches the parent alone, which ends it.
  return fork(entry, [path], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: [], detached: true });
}

function outcomeOf(child: ChildProcess, limitMs: number): Promise<TriedModel> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(notTried(`It was not done after ${limitMs / 1000} s.`)), limitMs);
    const stopWaiting = watchExit(child).onExit((reason) => {
      clearTimeout(limit);
      reject(notTried(`The process that ran it ended (${reason}).`));
    });
    child.once('message', (outcome: TriedModel) => {
      clearTimeout(limit);
      stopWaiting();
      resolve(outcome);
    });
  });
}

function notTried(finding: string): LipsyncError {
  return new LipsyncError('model_invalid', `The model cannot be tried here. ${finding} Fetch or import it again.`);
}
