import type { BenchResult } from './bench-preview.ts';

/** The figures as Markdown tables, for the terminal and for the README alike. */
export function toMarkdown(result: BenchResult): string {
  const stageRows = result.stages.map(({ stage, wallMs, frames }) => {
    const perFrame = frames === 0 ? '–' : (wallMs / frames).toFixed(2);
    return `| ${stage} | ${(wallMs / 1000).toFixed(1)} | ${frames} | ${perFrame} |`;
  });
  return [
    `\`preview\`, ${result.clip}, ${result.machine.cores} cores (${result.machine.cpu}):`,
    '',
    '| what | figure |',
    '|---|---|',
    `| real-time factor, first time | ${result.realTimeFactor.toFixed(2)} |`,
    `| real-time factor, same clip again (track cached) | ${result.realTimeFactorTracked.toFixed(2)} |`,
    `| bytes copied per frame, pipes not counted | ${Math.round(result.bytesCopiedPerFrame)} |`,
    `| peak memory of the render process and its ffmpegs | ${Math.round(result.peakMemoryMib)} MiB |`,
    '',
    '| stage | wall, s | frames | ms per frame |',
    '|---|---|---|---|',
    ...stageRows,
  ].join('\n');
}
