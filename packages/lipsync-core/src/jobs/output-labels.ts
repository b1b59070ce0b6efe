import type { LipsyncOptions } from '../contract/index.ts';
import type { LabelCorner, LabelLanguage } from '../contract/vocabulary.ts';
import { labelTake, type MediaLimits, type TakeEncoding, type TakeLabel } from '../media/index.ts';

/** The visible label of this installation. */
export interface LabelDefaults {
  /** Null for outputs without a label, unless their request has one. */
  readonly language: LabelLanguage | null;
  readonly corner: LabelCorner;
}

/**
 * Returns the label of an output; undefined without one. A request chooses language and corner, and cannot remove the
 * label of the installation. Pure.
 */
export function labelOf(
  { visibleLabel, labelCorner }: Pick<LipsyncOptions, 'visibleLabel' | 'labelCorner'>,
  defaults: LabelDefaults | undefined,
): TakeLabel | undefined {
  const language = visibleLabel ?? defaults?.language ?? undefined;
  return language && { language, corner: labelCorner ?? defaults?.corner ?? 'top_left' };
}

export interface OutputLabelerOptions {
  readonly defaults: LabelDefaults;
  readonly limits: MediaLimits;
  readonly encoding: TakeEncoding;
  /** Providers whose takes are encoded at a vendor. Local ones draw the label while they encode. */
  readonly remoteProviders: ReadonlySet<string>;
}

/** Draws the visible label over takes of vendors. */
export class OutputLabeler {
  readonly #options: OutputLabelerOptions;

  constructor(options: OutputLabelerOptions) {
    this.#options = options;
  }

  /**
   * Writes a labeled copy beside a take and returns its path; undefined where nothing is to be drawn. Throws
   * `media_failed`, the errors of the file system, and the abort error.
   */
  async label(
    takePath: string,
    made: { readonly provider: string | null; readonly options: LipsyncOptions },
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { defaults, encoding, limits, remoteProviders } = this.#options;
    const label = labelOf(made.options, defaults);
    if (!label || made.provider === null || !remoteProviders.has(made.provider)) return undefined;
    const targetPath = `${takePath}.labeled`;
    await labelTake({ path: takePath, targetPath, label, limits, encoding, signal });
    return targetPath;
  }
}
