import { stat, writeFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { toStorageError } from '../errors/index.ts';
import type { VideoAssessment } from '../jobs/quality-pipeline.ts';
import { ReportPage } from '../quality/report/report-page.ts';
import { nameOfSource } from '../service/parse-input.ts';
import { partPathFor, renameDurably } from '../storage/durable-files.ts';
import { invalidFlags } from './usage-error.ts';

/** The page of `quality --report` and of the scoreboard. Written once, after all videos are measured. */
export class ReportFile {
  readonly #path: string;
  readonly #page = new ReportPage();

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Throws a `UsageError` for a name without the ending .html, which keeps a video from being replaced, for a folder
   * that does not exist, and for the name of a folder.
   */
  static async open(given: string): Promise<ReportFile> {
    const refuse = (message: string): Error => invalidFlags([{ flag: '--report', message }]);
    if (!/\.html?$/i.test(given)) throw refuse('must end in .html');
    const path = resolve(given);
    const folder = await stat(dirname(path)).catch(() => null);
    if (!folder?.isDirectory()) throw refuse(`names a folder that does not exist: ${dirname(path)}`);
    const present = await stat(path).catch(() => null);
    if (present?.isDirectory()) throw refuse(`names a folder: ${path}`);
    return new ReportFile(path);
  }

  /** `video`: path, URL or other name; the last segment is shown. */
  add(video: string, { quality, trace, durationMs }: VideoAssessment): void {
    this.#page.add({ name: basename(nameOfSource(video)), quality, trace, durationMs });
  }

  /** Returns the path; writes nothing and returns null when no video could be measured. Throws a `StorageError`. */
  async write(): Promise<string | null> {
    if (this.#page.isEmpty) return null;
    const partPath = partPathFor(this.#path);
    try {
      await writeFile(partPath, this.#page.render(), { mode: 0o600 });
      await renameDurably(partPath, this.#path);
      return this.#path;
    } catch (error) {
      throw toStorageError(error, { path: dirname(this.#path), alternative: 'write the report to another folder' });
    }
  }
}
