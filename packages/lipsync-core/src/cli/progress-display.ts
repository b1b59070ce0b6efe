import { SingleBar } from 'cli-progress';
import type { ProgressUpdate } from '../jobs/progress-writer.ts';
import { writeLine, type Terminal } from './terminal.ts';

/** Shows how far a job is: a live bar in a terminal, a line per stage elsewhere. */
export interface ProgressDisplay {
  show(update: ProgressUpdate): void;
  /** Leaves the cursor on a line of its own. */
  end(): void;
}

export function createProgressDisplay(stream: Terminal['stderr']): ProgressDisplay {
  return 'isTTY' in stream && stream.isTTY ? createBar(stream) : createLines(stream);
}

function createBar(stream: NodeJS.WritableStream): ProgressDisplay {
  const startedMs = performance.now();
  const bar = new SingleBar({
    stream,
    hideCursor: true,
    clearOnComplete: false,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    format: '{bar} {percentage}% · {stage} · {left}',
    gracefulExit: false,
  });
  let progress = 0;
  bar.start(100, 0, { stage: 'starting', left: '' });
  return {
    show(update) {
      progress = Math.max(progress, update.progress);
      bar.update(progress, { stage: update.stage, left: timeLeft(progress, performance.now() - startedMs) });
    },
    end: () => bar.stop(),
  };
}

function createLines(stream: NodeJS.WritableStream): ProgressDisplay {
  let lastStage = '';
  return {
    show({ stage, progress }) {
      if (stage === lastStage) return;
      lastStage = stage;
      writeLine(stream, `${progress}% ${stage}`);
    },
    end: () => undefined,
  };
}

/** What the pace so far promises; nothing in the first few percent, where a pace means nothing. */
function timeLeft(progress: number, elapsedMs: number): string {
  if (progress < 5) return 'estimating';
  const leftS = Math.ceil((elapsedMs * (100 - progress)) / progress / 1000);
  return leftS >= 60 ? `${Math.floor(leftS / 60)} min ${leftS % 60} s left` : `${leftS} s left`;
}
