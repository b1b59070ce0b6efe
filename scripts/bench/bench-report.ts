import type { BenchResult } from './bench-preview.ts';
import type { Wav2LipBenchResult } from './bench-wav2lip.ts';

/** The figures as Markdown tables, for the terminal and for the documents alike. */
export function toMarkdown(result: BenchResult | Wav2LipBenchResult): string {
  const stageRows = result.stages.map(({ stage, wallMs, frames }) => {
    const perFrame = frames === 0 ? '–' : (wallMs / frames).toFixed(2);
    return `| ${stage} | ${(wallMs / 1000).toFixed(1)} | ${frames} | ${perFrame} |`;
  });
  return [
    `\`${result.engine}\`, ${result.clip}, ${result.machine.cores} cores (${result.machine.cpu}):`,
    '',
    '| what | figure |',
    '|---|---|',
    `| real-time factor, first time | ${result.realTimeFactor.toFixed(2)} |`,
    `| real-time factor, same clip again (track cached) | ${result.realTimeFactorTracked.toFixed(2)} |`,
    ...('tightLoopMsPerFrame' in result ? tightLoopRows(result) : []),
    `| bytes copied per frame, pipes not counted | ${Math.round(result.bytesCopiedPerFrame)} |`,
    `| peak memory of the processes that render | ${Math.round(result.peakMemoryMib)} MiB |`,
    '',
    '| stage | wall, s | frames | ms per frame |',
    '|---|---|---|---|',
    ...stageRows,
  ].join('\n');
}

function tightLoopRows({ tightLoopMsPerFrame, batchSize, overheadRatio, overheadRatioTracked }: Wav2LipBenchResult): string[] {
  return [
    `| the model alone, batches of ${batchSize} | ${tightLoopMsPerFrame.toFixed(1)} ms per frame |`,
    `| everything else ÷ the model alone, first time | ${overheadRatio.toFixed(2)} |`,
    `| everything else ÷ the model alone, track cached | ${overheadRatioTracked.toFixed(2)} |`,
  ];
}
