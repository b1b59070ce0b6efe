import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { ReportFile } from '../../packages/lipsync-core/src/cli/report-file.ts';
import { UsageError } from '../../packages/lipsync-core/src/cli/usage-error.ts';

/** Arguments that cannot be used: nothing was started, and the exit code is 2. */
export class ArgumentError extends Error {}

export interface ScoreboardArguments {
  readonly clips: readonly string[];
  readonly speeches: readonly string[];
  /** Ids of the providers to rate; null for all. */
  readonly providers: readonly string[] | null;
  /** The most that all takes of paid providers may cost together; null to render with none of them. */
  readonly maxCostUsd: number | null;
  /** Where the takes stay; null to delete them. */
  readonly keepFolder: string | null;
  /** The HTML page; null for none. */
  readonly report: ReportFile | null;
  readonly json: boolean;
}

const clipTypes = new Set(['.mp4', '.mov', '.mkv', '.webm', '.avi', '.png', '.jpg', '.jpeg']);
const speechTypes = new Set(['.wav', '.mp3', '.m4a', '.aac', '.flac', '.ogg', '.opus']);

/** Reads the arguments and lists the files of folders. Throws an `ArgumentError`. */
export async function parseScoreboardArguments(args: readonly string[]): Promise<ScoreboardArguments> {
  const { positionals, values } = parse(args);
  if (positionals.length === 0) throw new ArgumentError('name at least one clip, or a folder of clips');
  const files = (await Promise.all(positionals.map(listFiles))).flat();
  const clips = files.filter((path) => hasType(path, clipTypes));
  if (clips.length === 0) throw new ArgumentError(`there are no clips in ${positionals.join(', ')}`);
  const given = (await Promise.all((values.speech ?? []).map(listFiles))).flat();
  const speeches = given.length > 0 ? given : files.filter((path) => hasType(path, speechTypes));
  if (speeches.length === 0)
    throw new ArgumentError('name a speech recording with --speech, or put one into the folder of the clips');
  return {
    clips,
    speeches,
    providers: values.provider ?? null,
    maxCostUsd: parseCost(values['max-cost-usd']),
    keepFolder: values.keep ?? null,
    report: await openReport(values.report),
    json: values.json ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        speech: { type: 'string', multiple: true },
        provider: { type: 'string', multiple: true },
        'max-cost-usd': { type: 'string' },
        keep: { type: 'string' },
        report: { type: 'string' },
        json: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new ArgumentError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** Checked before the takes are paid for. */
async function openReport(path: string | undefined): Promise<ReportFile | null> {
  try {
    return path === undefined ? null : await ReportFile.open(path);
  } catch (error) {
    throw error instanceof UsageError ? new ArgumentError(error.message, { cause: error }) : error;
  }
}

function parseCost(text: string | undefined): number | null {
  if (text === undefined) return null;
  if (!/^\d{1,6}(\.\d{1,6})?$/.test(text) || Number(text) === 0)
    throw new ArgumentError('--max-cost-usd must be an amount in USD above 0 with up to six decimals');
  return Number(text);
}

/** A file, or the files of a folder in order. */
async function listFiles(path: string): Promise<readonly string[]> {
  const found = await stat(path).catch(() => null);
  if (!found) throw new ArgumentError(`${path} does not exist`);
  if (!found.isDirectory()) return [path];
  return (await readdir(path)).toSorted().map((name) => join(path, name));
}

function hasType(path: string, types: ReadonlySet<string>): boolean {
  return types.has(extname(path).toLowerCase());
}
