/** Entry of a process that tries a model and reports the outcome. Started by `tryModelApart`. */
import { toFailure } from '../../../errors/carried-failure.ts';
import { tryWav2LipModel } from '../model/try-model.ts';
import type { TriedModel } from './try-model-apart.ts';

const [path = ''] = process.argv.slice(2);
// A parent that has ended needs no answer.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

const outcome: TriedModel = await tryWav2LipModel(path).then((facts) => ({ type: 'tried', facts }), toFailure);
process.send?.(outcome, undefined, undefined, () => process.disconnect());
