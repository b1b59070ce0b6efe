import { MultiBar, type SingleBar } from 'cli-progress';
import type { ProgressUpdate } from '../jobs/progress-writer.ts';
import type { BatchResult } from './batch-report.ts';
import { writeLine, type Terminal } from './terminal.ts';

/** Shows the items of a batch: a live table of the running ones in a terminal, and a line for each one that ended. */
export interface BatchDisplay {
  show(item: number, update: ProgressUpdate): void;
  endItem(result: BatchResult): void;
  end(): void;
}

export function createBatchDisplay(stream: Terminal['stderr'], outputNames: readonly string[]): BatchDisplay {
  let ended = 0;
  const describe = ({ item, status, duration, error, from_earlier_run: isEarlier }: BatchResult): string => {
    ended += 1;
    const length = duration === null ? '' : ` ${duration.toFixed(1)} s`;
    const reason = error ? ` ${error.code}: ${error.message}` : isEarlier ? ' (in an earlier run)' : '';
    return `${ended}/${outputNames.length} ${outputNames[item]} ${status}${length}${reason}`;
  };
  if (!('isTTY' in stream) || !stream.isTTY)
    return {
      show: () => undefined,
      endItem: (result) => writeLine(stream, describe(result)),
      end: () => undefined,
    };
  return createTable(stream, outputNames, describe);
}

function createTable(
  stream: NodeJS.WritableStream,
  outputNames: readonly string[],
  describe: (result: BatchResult) => string,
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
    endItem(result) {
      const bar = running.get(result.item);
      if (bar) table.remove(bar);
      running.delete(result.item);
      table.log(`${describe(result)}\n`);
      total.increment();
    },
    end() {
      // Lines wait for the next drawing, which `stop` does not do.
      table.update();
      table.stop();
    },
  };
}
