import type { StageFigures } from '../../packages/lipsync-core/src/media/index.ts';
import type { GpuBenchResult } from './bench-gpu.ts';
import type { BenchResult } from './bench-preview.ts';
import type { Wav2LipBenchResult } from './bench-wav2lip.ts';

/** Formats the measurements as Markdown tables, for the terminal and the documentation. */
export function toMarkdown(result: BenchResult | Wav2LipBenchResult): string {
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
    ...stageRows(result.stages),
  ].join('\n');
}

/** Like `toMarkdown`: the model alone on each GPU, then a take on the device that a job would use. */
export function gpuToMarkdown({ clip, machine, models, take }: GpuBenchResult): string {
  const rows = models.map(({ device, precision, notRun, largestDifference, meanDifference, facesPerSecond }) => {
    if (notRun !== null) return `| ${device} | ${precision} | not run: ${notRun} |`;
    const speeds = Object.entries(facesPerSecond).map(([batch, speed]) => `${batch}: ${speed?.toFixed(0) ?? 'failed'}`);
    return `| ${device} | ${precision} | ${speeds.join(', ')} faces per second by batch; difference from the CPU in levels of 255: at most ${largestDifference?.toFixed(2)}, mean ${meanDifference?.toFixed(3)} |`;
  });
  const ofTake =
    take === null
      ? ['No GPU could be used for a take.']
      : [
          `${clip} on ${take.device}: real-time factor ${take.realTimeFactor.toFixed(2)}, ${take.realTimeFactorTracked.toFixed(2)} with the track cached.`,
          '',
          ...stageRows(take.stages),
        ];
  return [
    `\`wav2lip\` on GPUs, ${machine.cores} cores (${machine.cpu}):`,
    '',
    '| device | weights | the model alone |',
    '|---|---|---|',
    ...rows,
    '',
    ...ofTake,
  ].join('\n');
}

function stageRows(stages: readonly StageFigures[]): string[] {
  const rows = stages.map(({ stage, wallMs, frames }) => {
    const perFrame = frames === 0 ? '–' : (wallMs / frames).toFixed(2);
    return `| ${stage} | ${(wallMs / 1000).toFixed(1)} | ${frames} | ${perFrame} |`;
  });
  return ['| stage | wall, s | frames | ms per frame |', '|---|---|---|---|', ...rows];
}

function tightLoopRows({
  tightLoopMsPerFrame,
  batchSize,
  overheadRatio,
  overheadRatioTracked,
}: Wav2LipBenchResult): string[] {
  return [
    `| the model alone, batches of ${batchSize} | ${tightLoopMsPerFrame.toFixed(1)} ms per frame |`,
    `| everything else ÷ the model alone, first time | ${overheadRatio.toFixed(2)} |`,
    `| everything else ÷ the model alone, track cached | ${overheadRatioTracked.toFixed(2)} |`,
  ];
}
