import type { LabelDefinition, PartDefinition } from '../analyzer.ts';

/** Score of a defect: 1 up to `harmless`, 1/2 where it exceeds that by `half`, towards 0 beyond. */
function falling(harmless: number, half: number): (value: number) => number {
  return (value) => 1 / (1 + (Math.max(0, value - harmless) / half) ** 2);
}

/** Score of a property that is better the higher it is: 1 from `good` on, 1/2 where it falls short by `half`. */
function rising(good: number, half: number): (value: number) => number {
  return (value) => falling(0, half)(good - value);
}

const counts = { countsIn: 'video_quality' } as const;

export const pictureParts = {
  faceSharpness: {
    ...counts,
    name: 'face_sharpness',
    unit: 'ratio',
    meaning: 'Small details around the eyes, relative to the source clip.',
    score: rising(0.85, 0.4),
  },
  mouthSharpness: {
    ...counts,
    name: 'mouth_sharpness',
    unit: 'ratio',
    meaning: 'Small details of the mouth over those around the eyes, relative to the same ratio of the source clip.',
    score: rising(0.85, 0.4),
  },
  mouthDetail: {
    name: 'mouth_detail',
    unit: 'ratio',
    countsIn: 'none',
    meaning: 'Small details of the mouth over those around the eyes of the same face.',
    score: () => null,
  },
  blockiness: {
    ...counts,
    name: 'blockiness',
    unit: 'ratio',
    meaning: 'Brightness steps at the borders of 8 × 8 blocks over those elsewhere.',
    score: falling(1.3, 1.2),
  },
  frozenFrames: {
    ...counts,
    name: 'frozen_frames',
    unit: 'share',
    meaning: 'Frames that repeat the one before for at least 240 ms, unless the source repeats them.',
    score: falling(0, 0.15),
  },
  blackFrames: {
    ...counts,
    name: 'black_frames',
    unit: 'share',
    meaning: 'Frames of which at least 98 % are black.',
    score: falling(0, 0.1),
  },
  outsideSsim: {
    ...counts,
    name: 'outside_ssim',
    unit: 'ssim',
    meaning: 'Structural similarity to the source clip outside the lower face.',
    score: rising(0.97, 0.15),
  },
  outsidePsnr: {
    name: 'outside_psnr',
    unit: 'dB',
    countsIn: 'none',
    meaning: 'Peak signal-to-noise ratio of luma against the source clip outside the lower face, at most 100.',
    score: () => null,
  },
  seam: {
    ...counts,
    name: 'seam',
    unit: 'levels',
    meaning:
      'Step of color along straight lines around the mouth that the source clip does not have, in the second that shows it most.',
    score: falling(1.5, 3),
  },
  mouthFlicker: {
    ...counts,
    name: 'mouth_flicker',
    unit: 'levels',
    meaning:
      'Change of brightness around the mouth from one compared picture to the next that the source clip does not have.',
    score: falling(2.5, 5),
  },
  colorShift: {
    ...counts,
    name: 'color_shift',
    unit: 'levels',
    meaning: 'Mean difference of color from the source clip outside the lower face.',
    score: falling(1, 8),
  },
  mouthColorShift: {
    ...counts,
    name: 'mouth_color_shift',
    unit: 'levels',
    meaning: 'Mean difference of color from the source clip around the mouth, less that around the eyes.',
    score: falling(2.5, 8),
  },
  headJitter: {
    ...counts,
    name: 'head_jitter',
    unit: '% of eye distance',
    meaning: 'Random motion of the upper face against that of the source clip from picture to picture.',
    score: falling(0.3, 1.5),
  },
  mouthJitter: {
    ...counts,
    name: 'mouth_jitter',
    unit: '% of eye distance',
    meaning: 'Random sideways motion of the mouth against the head from frame to frame.',
    score: falling(0.6, 1.5),
  },
  identity: {
    ...counts,
    name: 'identity_similarity',
    unit: 'cosine',
    meaning: 'Similarity of the face to that of the source clip by a network for identity, in three pictures.',
    score: rising(0.85, 0.25),
  },
} as const satisfies Record<string, PartDefinition>;

export const pictureLabels = {
  mouthSoft: {
    code: 'mouth_soft',
    threshold: 0.6,
    unit: 'ratio',
    fatal: false,
    meaning: '`mouth_sharpness` of at least a second is below the threshold: the mouth is blurred in a sharper face.',
  },
  faceSoft: {
    code: 'face_soft',
    threshold: 0.5,
    unit: 'ratio',
    fatal: false,
    meaning:
      'The eyes are blurred for at least a second: against the source clip or, without one, against the rest of the video.',
  },
  blocky: {
    code: 'blocky',
    threshold: 2.6,
    unit: 'ratio',
    fatal: false,
    meaning: '`blockiness` is above the threshold: the blocks of the encoder are visible.',
  },
  frozenFrames: {
    code: 'picture_frozen',
    threshold: 240,
    unit: 'ms',
    fatal: false,
    meaning: 'The picture stands still for at least this long although it moves elsewhere.',
  },
  blackFrames: {
    code: 'picture_black',
    threshold: 0,
    unit: 'share',
    fatal: false,
    meaning: 'The picture is black.',
  },
  pictureChanged: {
    code: 'picture_changed',
    threshold: 0.85,
    unit: 'ssim',
    fatal: false,
    meaning: '`outside_ssim` is below the threshold: the picture differs from the source where it should not.',
  },
  seamVisible: {
    code: 'seam_visible',
    threshold: 2.5,
    unit: 'levels',
    fatal: false,
    meaning: '`seam` is above the threshold: the border of the redrawn area is visible there.',
  },
  mouthFlickers: {
    code: 'mouth_flickers',
    threshold: 6,
    unit: 'levels',
    fatal: false,
    meaning: '`mouth_flicker` is above the threshold.',
  },
  colorShifted: {
    code: 'color_shifted',
    threshold: 5,
    unit: 'levels',
    fatal: false,
    meaning: '`color_shift` is above the threshold: the whole picture has other colors than the source.',
  },
  mouthColorShifted: {
    code: 'mouth_color_shifted',
    threshold: 6,
    unit: 'levels',
    fatal: false,
    meaning: '`mouth_color_shift` is above the threshold: the lower face has other colors than the rest.',
  },
  headJitters: {
    code: 'head_jitters',
    threshold: 1,
    unit: '% of eye distance',
    fatal: false,
    meaning: '`head_jitter` is above the threshold.',
  },
  mouthJitters: {
    code: 'mouth_jitters',
    threshold: 1.5,
    unit: '% of eye distance',
    fatal: false,
    meaning: '`mouth_jitter` is above the threshold.',
  },
  identityChanged: {
    code: 'identity_changed',
    threshold: 0.57,
    unit: 'cosine',
    fatal: false,
    meaning: '`identity_similarity` is below the threshold: the face is that of another person.',
  },
} as const satisfies Record<string, LabelDefinition>;
