import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { LipsyncError } from '../../errors/index.ts';
import { fileUrl, inputArguments } from '../ffmpeg-arguments.ts';
import { MediaProcess } from '../ffmpeg-process.ts';
import type { ClipFacts, MediaLimits } from '../media-types.ts';
import { probeClip } from '../picture/clip-probe.ts';
import { labelArguments, type TakeLabel } from './label-picture.ts';
import { probeTake } from './take-probe.ts';
import {
  defaultTakeEncoding,
  pictureArguments,
  takeContainer,
  withoutMetadata,
  type TakeEncoding,
} from './take-encoding.ts';

export interface LabelTakeOptions {
  readonly path: string;
  /** Replaced when the copy is complete. */
  readonly targetPath: string;
  readonly label: TakeLabel;
  readonly limits: MediaLimits;
  readonly encoding?: TakeEncoding | undefined;
  readonly signal: AbortSignal;
}

const encodeLimitMs = 900_000;

/**
 * Writes a copy of a finished take with a label: the picture is encoded once more, the sound is copied. Throws
 * `media_failed`, or the abort error, and then leaves no copy.
 */
export async function labelTake({
  path,
  targetPath,
  label,
  limits,
  encoding,
  signal,
}: LabelTakeOptions): Promise<void> {
  const partPath = `${targetPath}.${randomUUID()}.part`;
  const facts = await probeClip(path, { limits, signal });
  try {
    const running = new MediaProcess({
      tool: 'ffmpeg',
      arguments: copyArguments(path, partPath, { label, facts, encoding }),
      idleLimitMs: encodeLimitMs,
      signal,
    });
    try {
      await running.within(running.ended);
    } finally {
      await running.stop();
    }
    const [before, after] = [await probeTake(path, { signal }), await probeTake(partPath, { signal })];
    if (before.frameCount !== after.frameCount)
      throw new LipsyncError('media_failed', 'The labeled take is incomplete. Try again.');
    await rename(partPath, targetPath);
  } finally {
    await rm(partPath, { force: true });
  }
}

function copyArguments(
  path: string,
  partPath: string,
  { label, facts, encoding = defaultTakeEncoding }: Pick<LabelTakeOptions, 'label' | 'encoding'> & { facts: ClipFacts },
): readonly string[] {
  const { width, height, color } = facts;
  const { input, filter } = labelArguments(label, { stream: '0:v:0', index: 1, width, height });
  return [
    '-y',
    ...inputArguments(path),
    ...input,
    ...filter,
    '-map',
    '[labeled]',
    '-map',
    '0:a?',
    '-c:a',
    'copy',
    ...withoutMetadata,
    ...pictureArguments(encoding, color),
    ...takeContainer,
    fileUrl(partPath),
  ];
}
