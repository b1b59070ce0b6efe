import { basename } from 'node:path';
import type { Command } from 'commander';
import { configFromEnvironment } from '../config.ts';
import { parseRequest, toQualityView } from '../contract/index.ts';
import { errorPolicies, toLipsyncError, type LipsyncError } from '../errors/index.ts';
import type { VideoAssessment } from '../jobs/quality-pipeline.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { createLocalHost, type LocalHost } from '../service/get-lipsync-service.ts';
import { nameOfSource } from '../service/parse-input.ts';
import { qualityInputSchema, type QualityInput } from '../service/local-quality.ts';
import type { ReportFile } from './report-file.ts';
import { createProgressDisplay, interruptSignal, writeLine, type Terminal } from './terminal.ts';
import { invalidFlags } from './usage-error.ts';

interface QualityFlags {
  readonly audio?: string;
  readonly source?: string;
  readonly audioTrack?: number;
  readonly qualityWindows?: string;
  readonly report?: string;
  readonly json?: boolean;
}

const help = `
Measures any video, made here or elsewhere; nothing is changed or uploaded. docs/quality.md explains the figures.
With --json, stdout has one line per video: { "file": …, "quality": { … } }.
Exit codes: 0 every video was measured, 1 a video could not be measured, 2 invalid usage.`;

export function addQualityCommand(
  program: Command,
  terminal: Terminal,
  definitions: readonly ProviderDefinition[],
  setExitCode: (code: number) => void,
): void {
  program
    .command('quality')
    .description('measure how well lips, picture and sound of a video fit together')
    .argument('<video...>', 'one or more videos: files or http(s) URLs')
    .option('--source <clip>', 'the clip that the video was made from; adds comparisons with it')
    .option('--audio <speech>', 'the speech that the video was made from (default: the sound of the video)')
    .option(
      '--audio-track <number>',
      'audio track of the speech file, counted from 1 (default: its default track)',
      Number,
    )
    .option(
      '--quality-windows <windows>',
      'what SyncNet scores: spread (10 s, spread over the video) or all (everything) (default: spread)',
    )
    .option(
      '--report <page.html>',
      'also write one self-contained HTML page with charts and pictures; replaces an earlier page',
    )
    .option('--json', 'print one line of JSON per video on stdout')
    .addHelpText('after', help)
    .action(async (videos: readonly string[], flags: QualityFlags) => {
      const inputs = videos.map((video) => toInput(video, flags));
      const report = flags.report === undefined ? undefined : await openReport(flags.report);
      const failures = await measureAll(inputs, { definitions, terminal, json: flags.json ?? false, report });
      const reportPath = await report?.write();
      if (reportPath) writeLine(terminal.stderr, `Report: ${reportPath}`);
      setExitCode(failures > 0 ? 1 : 0);
    });
}

/** Throws a `UsageError` for an invalid flag. */
function toInput(videoPath: string, { source, audio, audioTrack, qualityWindows }: QualityFlags): QualityInput {
  const input = { videoPath, sourcePath: source, audioPath: audio, audioTrack, qualityWindows };
  const parsed = parseRequest(qualityInputSchema, input);
  if (parsed.type === 'valid') return parsed.value;
  const flagOf: Readonly<Record<string, string>> = {
    sourcePath: '--source',
    audioPath: '--audio',
    videoPath: '<video>',
    audioTrack: '--audio-track',
  };
  throw invalidFlags(
    parsed.problems.map(({ path: [field = ''], message }) => ({
      flag: flagOf[field] ?? '--quality-windows',
      message,
    })),
  );
}

interface MeasureTools {
  readonly definitions: readonly ProviderDefinition[];
  readonly terminal: Terminal;
  readonly json: boolean;
  readonly report: ReportFile | undefined;
}

/** Measures one video after the other and prints each result at once. Returns the number of failures. */
async function measureAll(
  inputs: readonly QualityInput[],
  { definitions, terminal, json, report }: MeasureTools,
): Promise<number> {
  const host = createLocalHost(configFromEnvironment(undefined, definitions));
  const interrupt = interruptSignal();
  let failures = 0;
  try {
    for (const input of inputs) {
      const file = nameOfSource(input.videoPath);
      const outcome = await measure(host, input, {
        terminal,
        signal: interrupt.signal,
        withPictures: report !== undefined,
        subject: inputs.length > 1 ? basename(file) : undefined,
      });
      if (outcome.type === 'measured') report?.add(input.videoPath, outcome.assessment);
      if (outcome.type === 'failed') failures += 1;
      await print(file, outcome, { terminal, json });
      if (interrupt.signal.aborted) break;
    }
  } finally {
    interrupt.end();
    await host.close();
  }
  return failures;
}

type Outcome =
  | { readonly type: 'measured'; readonly assessment: VideoAssessment }
  | { readonly type: 'failed'; readonly error: LipsyncError };

async function measure(
  host: LocalHost,
  input: QualityInput,
  {
    terminal,
    signal,
    withPictures,
    subject,
  }: {
    readonly terminal: Terminal;
    readonly signal: AbortSignal;
    readonly withPictures: boolean;
    /** Name of the video in the display of its progress. */
    readonly subject: string | undefined;
  },
): Promise<Outcome> {
  const display = createProgressDisplay(terminal.stderr, subject);
  try {
    const assessment = await host.untilClosed(
      (stop) =>
        host.localQuality.measure(input, {
          signal: stop,
          withPictures,
          onProgress: (update) => display.show(update),
        }),
      signal,
    );
    return { type: 'measured', assessment };
  } catch (error) {
    return { type: 'failed', error: toLipsyncError(error) };
  } finally {
    display.end();
  }
}

/** Loaded on demand, as other commands write no page. */
async function openReport(path: string): Promise<ReportFile> {
  const { ReportFile: File } = await import('./report-file.ts');
  return File.open(path);
}

async function print(
  file: string,
  outcome: Outcome,
  { terminal: { stdout, stderr }, json }: Pick<MeasureTools, 'terminal' | 'json'>,
): Promise<void> {
  if (outcome.type === 'measured') {
    const { quality, durationMs } = outcome.assessment;
    if (json) return writeLine(stdout, JSON.stringify({ file, quality: toQualityView(quality) }));
    // Loaded on demand: it needs every analyzer, which otherwise only the render process loads.
    const { describeQuality } = await import('./describe-quality.ts');
    stdout.write(describeQuality({ file, quality, durationMs }));
    return;
  }
  const { code, message } = outcome.error;
  const error = { code, message, retryable: errorPolicies[code].retryable };
  if (json) writeLine(stdout, JSON.stringify({ file, quality: null, error }));
  else writeLine(stderr, `${code}: ${file}: ${message}`);
}
