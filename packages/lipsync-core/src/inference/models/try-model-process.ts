/** Entry of a process that tries a model and reports the outcome. Started by `tryModelApart`. */
import { toFailure } from '../../errors/carried-failure.ts';
import { LipsyncError } from '../../errors/index.ts';
import { loadSession } from '../onnx-session.ts';
import type { NetworkTrial, TriedFacts } from './network-kind.ts';
import type { TriedModel } from './try-model-apart.ts';

const [path = '', ...trialModules] = process.argv.slice(2);
// A parent that has ended needs no answer.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

async function loadTrials(): Promise<readonly NetworkTrial[]> {
  return Promise.all(
    trialModules.map(async (url) => {
      const { networkTrial }: { readonly networkTrial: NetworkTrial } = await import(url);
      return networkTrial;
    }),
  );
}

async function tryModel(): Promise<TriedFacts> {
  const trials = await loadTrials();
  const session = await loadSession(path, { threads: 1 });
  try {
    const trial = trials.find(({ matches }) => matches(session)) ?? trials[0];
    if (!trial) throw new LipsyncError('internal', 'No network to try was named.');
    return await trial.run(session);
  } finally {
    await session.release();
  }
}

const outcome: TriedModel = await tryModel().then((tried) => ({ type: 'tried', ...tried }), toFailure);
process.send?.(outcome, undefined, undefined, () => process.disconnect());
