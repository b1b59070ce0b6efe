import { landmarkCount, type FaceFrame } from '../../../face/face-types.ts';
import { medianInPlace } from '../../../image/math.ts';
import type { Picture } from '../../../image/planes.ts';
import { measureColors, measureEdgeWidth, type FaceColors } from './face-colors.ts';
import { createHeadPose, createTemplate, fitHeadPose, medianTemplate } from './head-pose.ts';
import { createLipCurves, readLipCurves } from './lip-curves.ts';
import { measureVisibleGap } from './lip-edges.ts';
import { measureNeutralMouth, type MouthSample, type NeutralMouth } from './neutral-mouth.ts';
import { TeethDonorSearch, type DonorFrame } from './teeth-donor.ts';

/** The speaker's mouth as measured in the clip. */
export interface MouthReference {
  readonly neutral: NeutralMouth;
  readonly colors: FaceColors;
  /** The best view of the speaker's upper teeth; undefined when the clip shows none. */
  readonly donor: DonorFrame | undefined;
  /** Width over which the clip spreads an edge, in head units. */
  readonly edgeWidth: number;
}

interface ReferenceSample extends MouthSample {
  readonly colors: FaceColors;
  readonly edgeWidth: number;
}

/**
 * Collects samples of clip frames and computes the reference. Keeps the landmarks of each sample and one small patch of
 * a picture.
 */
export class MouthReferenceBuilder {
  readonly #samples: ReferenceSample[] = [];
  readonly #donors = new TeethDonorSearch();

  /** Measures one frame. Frames without a usable face are skipped. `picture` is not kept. */
  add(picture: Picture, face: FaceFrame): void {
    const { presence, points } = face;
    if (presence !== 'found' || points.length < landmarkCount * 3 || !points.every(Number.isFinite)) return;
    const template = createTemplate(points);
    const pose = createHeadPose();
    if (template === undefined || !fitHeadPose(template, points, pose)) return;
    const colors = measureColors(picture, points);
    this.#donors.consider(picture, points, pose, colors);
    const curves = createLipCurves();
    readLipCurves(pose, points, curves);
    this.#samples.push({
      points: points.slice(),
      colors,
      visibleGap: measureVisibleGap(picture, pose, curves),
      edgeWidth: measureEdgeWidth(picture, points, pose.scale) / pose.scale,
    });
  }

  /** Returns the reference, or undefined when no frame has a usable face. */
  finish(): MouthReference | undefined {
    const template = medianTemplate(this.#samples.flatMap(({ points }) => createTemplate(points) ?? []));
    if (template === undefined) return undefined;
    const neutral = measureNeutralMouth(template, this.#samples);
    if (neutral === undefined) return undefined;
    return {
      neutral,
      colors: medianColors(this.#samples.map(({ colors }) => colors)),
      donor: this.#donors.best,
      edgeWidth: medianInPlace(this.#samples.map(({ edgeWidth }) => edgeWidth)),
    };
  }
}

function medianColors(samples: readonly FaceColors[]): FaceColors {
  const median = (part: keyof FaceColors, channel: 'luma' | 'cb' | 'cr'): number =>
    medianInPlace(samples.map((colors) => colors[part][channel]));
  return {
    skin: { luma: median('skin', 'luma'), cb: median('skin', 'cb'), cr: median('skin', 'cr') },
    lip: { luma: median('lip', 'luma'), cb: median('lip', 'cb'), cr: median('lip', 'cr') },
  };
}
