import { MultiBar, type SingleBar } from 'cli-progress';
import type { ProgressUpdate } from '../jobs/progress-writer.ts';
import type { BatchItemOutcome } from '../service/local-batches.ts';
import { writeLine, type Terminal } from './terminal.ts';

/** Shows the items of a batch: a live table of the running ones in a terminal, and a line for each one that ended. */
export interface BatchDisplay {
  show(item: number, update: ProgressUpdate): void;
  endItem(outcome: BatchItemOutcome): void;
  end(): void;
}

export function createBatchDisplay(stream: Terminal['stderr'], outputNames: readonly string[]): BatchDisplay {
  let ended = 0;
  const describe = (outcome: BatchItemOutcome): string => {
    ended += 1;
    const { item, status, result, error, isFromEarlierRun } = outcome;
    const length = result ? ` ${(result.durationMs / 1000).toFixed(1)} s` : '';
    const reason = error ? ` ${error.code}: ${error.message}` : isFromEarlierRun ? ' (in an earlier run)' : '';
    return `${ended}/${outputNames.length} ${outputNames[item]} ${status}${length}${reason}`;
  };
  if (!('isTTY' in stream) || !stream.isTTY)
    return {
      show: () => undefined,
      endItem: (outcome) => writeLine(stream, describe(outcome)),
      end: () => undefined,
    };
  return createTable(stream, outputNames, describe);
}

function createTable(
  stream: NodeJS.WritableStream,
  outputNames: readonly string[],
  describe: (outcome: BatchItemOutcome) => string,
): BatchDisplay {
  const format = '{bar} {percentage}% · {name} · {stage}';
  const table = new MultiBar({ stream, hideCursor: true, format, barCompleteChar: '█', barIncompleteChar: '░' });
  const total = table.create(outputNames.length, 0, { name: 'all items', stage: '' });
  const running = new Map<number, SingleBar>();
  return {
    show(item, { progress, stage }) {
      const bar = running.get(item) ?? table.create(100, 0, { name: outputNames[item], stage });
      running.set(item, bar);
      bar.update(progress, { stage });
    },
    endItem(outcome) {
      const bar = running.get(outcome.item);
      if (bar) table.remove(bar);
      running.delete(outcome.item);
      table.log(`${describe(outcome)}\n`);
      total.increment();
    },
    end: () => table.stop(),
  };
}
