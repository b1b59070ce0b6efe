import type { QualityLabel, QualityPart, QualityRange } from '../../contract/quality.ts';
import { planesOf, type Picture } from '../../image/planes.ts';
import {
  toPart,
  type Analyzer,
  type AnalyzerDefinition,
  type AnalyzerSetup,
  type AssessedFrame,
  type Findings,
  type LabelDefinition,
  type PartDefinition,
} from '../analyzer.ts';
import { toLabel } from '../labels.ts';
import { BlockinessMeter } from './blockiness.ts';
import { DetailSeries } from './detail-series.ts';
import { DetailReader } from './detail.ts';
import { createPatch, FacePatchSampler, placePatch, redrawnArea, type PatchPlacement } from './face-patch.ts';
import { IdentityMeter } from './identity.ts';
import { MouthJitterMeter } from './mouth-jitter.ts';
import { pictureLabels, pictureParts } from './picture-tables.ts';
import { SourceDifferenceMeter } from './source-difference.ts';
import { StillFrameMeter } from './still-frames.ts';

/** Measures the picture. Parts that need the source clip are null without one. */
export const pictureAnalyzer: AnalyzerDefinition = {
  name: 'picture',
  parts: Object.values(pictureParts),
  labels: Object.values(pictureLabels),
  create: (setup) => new PictureAnalyzer(setup),
};

/** Every n-th sample is measured for blockiness, which hardly changes. */
const blockinessInterval = 5;

const reasons = {
  noSource: 'It needs the source clip.',
  otherSize: 'The video has another size than its source clip.',
  noFace: 'No face is large enough and turned to the camera.',
  briefFace: 'The face is visible in too few frames.',
  displaced: 'The face has another position than in the source clip.',
  tooShort: 'The video is too short.',
} as const;

interface PicturePair {
  readonly take: Picture;
  readonly source: Picture;
}

class PictureAnalyzer implements Analyzer {
  readonly #setup: AnalyzerSetup;
  readonly #sampleInterval: number;
  readonly #stillFrames: StillFrameMeter;
  readonly #jitter = new MouthJitterMeter();
  readonly #blockiness = { take: new BlockinessMeter(), source: new BlockinessMeter() };
  readonly #detailReader = new DetailReader();
  readonly #detail = new DetailSeries();
  readonly #sampler = new FacePatchSampler();
  readonly #patches = { take: createPatch(), source: createPatch() };
  readonly #difference = new SourceDifferenceMeter();
  readonly #identity: IdentityMeter;

  constructor(setup: AnalyzerSetup) {
    this.#setup = setup;
    this.#identity = new IdentityMeter(setup);
    this.#sampleInterval = setup.faces.pictureEvery;
    this.#stillFrames = new StillFrameMeter(setup.framesPerSecond, setup.frameCount, setup.faces.every);
  }

  async add(frame: AssessedFrame): Promise<void> {
    const { index, picture, points, source, isMeasured } = frame;
    if (!isMeasured) return;
    this.#stillFrames.add(frame);
    this.#jitter.add(this.#setup.faces.isMouthVisible(index) ? points : undefined);
    if (index % this.#sampleInterval !== 0) return;
    const sample = index / this.#sampleInterval;
    const hasBlockiness = sample % blockinessInterval === 0;
    if (hasBlockiness) this.#blockiness.take.add(planesOf(picture).luma);
    if (hasBlockiness && source?.picture) this.#blockiness.source.add(planesOf(source.picture).luma);
    // A take and its source are compared at the face of the source, whose mouth need not be measured in the take.
    const usable = this.#hasSourceSize ? source?.picture : undefined;
    const face = usable ? source?.points : points;
    const placement = face && placePatch(face);
    if (placement && (usable || !this.#hasSourceSize))
      this.#detail.add('take', this.#timeOf(index), this.#detailReader.read(planesOf(picture).luma, placement));
    if (usable) this.#compare(this.#timeOf(index), { take: picture, source: usable }, placement);
    const own = usable ? source?.points : points;
    if (source?.picture && source.points && own && placement)
      await this.#identity.add(index, { picture, points: own }, { picture: source.picture, points: source.points });
  }

  #timeOf(index: number): number {
    return (index * 1000) / this.#setup.framesPerSecond;
  }

  #compare(timeMs: number, { take, source }: PicturePair, placement: PatchPlacement | undefined): void {
    this.#difference.addPictures(take, source, placement && redrawnArea(placement));
    if (!placement) return;
    this.#detail.add('source', timeMs, this.#detailReader.read(planesOf(source).luma, placement));
    this.#sampler.sample(take, placement, this.#patches.take);
    this.#sampler.sample(source, placement, this.#patches.source);
    this.#difference.addPatches(timeMs, this.#patches, placement);
  }

  get #hasSourceSize(): boolean {
    const { facts, input } = this.#setup;
    const clip = input.source?.clip;
    return clip !== undefined && clip.width === facts.width && clip.height === facts.height;
  }

  /** Why nothing was compared with the source; null when something was. */
  get #sourceReason(): string | null {
    if (!this.#setup.input.source) return reasons.noSource;
    return this.#hasSourceSize ? null : reasons.otherSize;
  }

  finish(): Findings {
    const still = this.#stillFrames.finish();
    const difference = this.#difference.finish();
    const detail = this.#detail.finish();
    const sourceReason = this.#sourceReason;
    const faceReason = sourceReason ?? reasons.noFace;
    const placeReason = difference.headJitter === null ? faceReason : reasons.displaced;
    const parts = new PartList();
    parts.add(pictureParts.faceSharpness, detail.face, faceReason);
    parts.add(pictureParts.mouthSharpness, detail.mouth, faceReason);
    parts.add(pictureParts.mouthDetail, this.#detail.ratioOf('take'), reasons.noFace);
    parts.add(pictureParts.blockiness, this.#blockiness.take.finish(), reasons.tooShort);
    parts.add(pictureParts.frozenFrames, still.frozenShare, still.frozenReason);
    parts.add(pictureParts.blackFrames, still.blackShare, reasons.tooShort);
    parts.add(pictureParts.outsideSsim, difference.outsideSsim, sourceReason);
    parts.add(pictureParts.outsidePsnr, difference.outsidePsnr, sourceReason);
    parts.add(pictureParts.seam, difference.seam, placeReason);
    parts.add(pictureParts.mouthFlicker, difference.mouthFlicker, placeReason);
    parts.add(pictureParts.colorShift, difference.colorShift, sourceReason);
    parts.add(pictureParts.mouthColorShift, difference.mouthColorShift, placeReason);
    parts.add(pictureParts.headJitter, difference.headJitter, faceReason);
    parts.add(pictureParts.mouthJitter, this.#jitter.finish(), reasons.briefFace);
    parts.add(
      pictureParts.identity,
      this.#identity.finish(),
      this.#setup.input.source ? reasons.noFace : reasons.noSource,
    );
    const blockiness = this.#blockiness.source.finish();
    const sourceDetail = this.#detail.ratioOf('source');
    return {
      parts: parts.all,
      source: {
        ...(blockiness === null ? {} : { [pictureParts.blockiness.name]: round(blockiness) }),
        ...(sourceDetail === null ? {} : { [pictureParts.mouthDetail.name]: round(sourceDetail) }),
      },
      labels: this.#labels(parts, { frozen: still.frozenRanges, black: still.blackRanges }, blockiness ?? 0),
    };
  }

  #labels(
    parts: PartList,
    ranges: { readonly frozen: readonly QualityRange[]; readonly black: readonly QualityRange[] },
    sourceBlockiness: number,
  ): QualityLabel[] {
    const whole = [{ startMs: 0, endMs: Math.round((this.#setup.frameCount * 1000) / this.#setup.framesPerSecond) }];
    const above = (
      part: PartDefinition,
      label: LabelDefinition,
      message: string,
      where = (_threshold: number): readonly QualityRange[] => whole,
    ): QualityLabel[] => {
      const value = parts.valueOf(part);
      if (value === null || value <= label.threshold) return [];
      return [toLabel(label, { value, message, ranges: where(label.threshold) })];
    };
    const below = (part: PartDefinition, label: LabelDefinition, message: string): QualityLabel[] => {
      const value = parts.valueOf(part);
      return value !== null && value < label.threshold ? [toLabel(label, { value, message, ranges: whole })] : [];
    };
    const blocky = above(pictureParts.blockiness, pictureLabels.blocky, 'The blocks of the encoder are visible.');
    return [
      ...softLabels(this.#detail),
      ...blocky.filter(({ value }) => value > sourceBlockiness * blockyGrowth),
      ...frozenLabel(ranges.frozen),
      ...blackLabel(ranges.black, parts.valueOf(pictureParts.blackFrames)),
      ...below(pictureParts.outsideSsim, pictureLabels.pictureChanged, 'The picture around the face was changed.'),
      ...above(pictureParts.seam, pictureLabels.seamVisible, 'The border of the redrawn mouth is visible.', (levels) =>
        this.#difference.seamRanges(levels),
      ),
      ...above(pictureParts.mouthFlicker, pictureLabels.mouthFlickers, 'The brightness around the mouth flickers.'),
      ...above(pictureParts.colorShift, pictureLabels.colorShifted, 'The colors differ from those of the clip.'),
      ...above(
        pictureParts.mouthColorShift,
        pictureLabels.mouthColorShifted,
        'The color around the mouth differs from that of the face.',
      ),
      ...above(pictureParts.headJitter, pictureLabels.headJitters, 'The head shakes from frame to frame.'),
      ...below(pictureParts.identity, pictureLabels.identityChanged, 'The face is not that of the clip.'),
      ...above(pictureParts.mouthJitter, pictureLabels.mouthJitters, 'The mouth shakes against the head.'),
    ];
  }
}

/** A take is blocky when its blocks are this many times as strong as those of its source. */
const blockyGrowth = 1.2;

function softLabels(detail: DetailSeries): QualityLabel[] {
  const { mouthSoft, faceSoft } = pictureLabels;
  const mouth = detail.blurredMouth(mouthSoft.threshold);
  const face = detail.blurredFace(faceSoft.threshold);
  return [
    ...(mouth ? [toLabel(mouthSoft, { ...mouth, message: 'The mouth is less sharp than the face.' })] : []),
    ...(face
      ? [toLabel(faceSoft, { ...face, message: 'The face is less sharp than in the clip, or than elsewhere.' })]
      : []),
  ];
}

function frozenLabel(ranges: readonly QualityRange[]): QualityLabel[] {
  if (ranges.length === 0) return [];
  const value = Math.max(...ranges.map(({ startMs, endMs }) => endMs - startMs));
  return [toLabel(pictureLabels.frozenFrames, { value, message: 'The picture stands still.', ranges })];
}

function blackLabel(ranges: readonly QualityRange[], value: number | null): QualityLabel[] {
  if (ranges.length === 0 || value === null) return [];
  return [toLabel(pictureLabels.blackFrames, { value, message: 'The picture is black.', ranges })];
}

/** Parts by name, with rounded values. */
class PartList {
  readonly all: Record<string, QualityPart> = {};

  add(definition: PartDefinition, value: number | null, reason: string | null): void {
    this.all[definition.name] = toPart(definition, value === null ? null : round(value), reason);
  }

  valueOf({ name }: PartDefinition): number | null {
    return this.all[name]?.value ?? null;
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
