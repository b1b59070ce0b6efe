/** Entry of a process that tries a model and says what came of it. Started by `tryModelApart` only. */
import { tryWav2LipModel } from '../model/try-model.ts';
import { toFailure } from '../../../errors/carried-failure.ts';
import type { TriedModel } from './try-model-messages.ts';

const [path = ''] = process.argv.slice(2);
// A parent that is gone waits for no answer.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

const outcome: TriedModel = await tryWav2LipModel(path).then((facts) => ({ type: 'tried', facts }), toFailure);
process.send?.(outcome, undefined, undefined, () => process.disconnect());
