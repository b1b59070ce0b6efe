interface MelScale {
  toMel(hz: number): number;
  toHz(mel: number): number;
}

/** Slaney's scale is linear up to 1000 Hz and logarithmic above. */
const linearHzPerMel = 200 / 3;
const logStartHz = 1000;
const logStartMel = logStartHz / linearHzPerMel;
const logStep = Math.log(6.4) / 27;

const scales = {
  /** Slaney, "Auditory Toolbox" (1998); the default of librosa. */
  slaney: {
    toMel: (hz) => (hz < logStartHz ? hz / linearHzPerMel : logStartMel + Math.log(hz / logStartHz) / logStep),
    toHz: (mel) => (mel < logStartMel ? mel * linearHzPerMel : logStartHz * Math.exp((mel - logStartMel) * logStep)),
  },
  /** O'Shaughnessy, "Speech Communication" (1987); the default of HTK. */
  htk: {
    toMel: (hz) => 2595 * Math.log10(1 + hz / 700),
    toHz: (mel) => (10 ** (mel / 2595) - 1) * 700,
  },
} as const satisfies Record<string, MelScale>;

export interface MelFilterbankOptions {
  readonly scale: keyof typeof scales;
  readonly bandCount: number;
  /** Lower edge of the first band and upper edge of the last one. */
  readonly lowestHz: number;
  readonly highestHz: number;
  /** `area` scales each triangle by 2 / width in Hz, `peak` to a height of 1. */
  readonly normalization: 'area' | 'peak';
}

/** The nonzero weights of one band over the bins of a spectrum. */
export interface MelFilter {
  readonly firstBin: number;
  readonly weights: Float64Array;
}

/** Creates overlapping triangular filters, evenly spaced on the mel scale, for a spectrum with bins `binHz` apart. */
export function createMelFilterbank(options: MelFilterbankOptions, binHz: number): readonly MelFilter[] {
  const { bandCount, normalization } = options;
  const scale: MelScale = scales[options.scale];
  const lowest = scale.toMel(options.lowestHz);
  const spacing = (scale.toMel(options.highestHz) - lowest) / (bandCount + 1);
  return Array.from({ length: bandCount }, (_, band) => {
    const left = scale.toHz(lowest + band * spacing);
    const center = scale.toHz(lowest + (band + 1) * spacing);
    const right = scale.toHz(lowest + (band + 2) * spacing);
    const height = normalization === 'area' ? 2 / (right - left) : 1;
    const firstBin = Math.ceil(left / binHz);
    const lastBin = Math.floor(right / binHz);
    const weights = Float64Array.from({ length: lastBin - firstBin + 1 }, (_value, index) => {
      const hz = (firstBin + index) * binHz;
      return Math.min((hz - left) / (center - left), (right - hz) / (right - center)) * height;
    });
    return { firstBin, weights };
  });
}

/** Weighted sum of a spectrum's bins in one band. */
export function applyMelFilter({ firstBin, weights }: MelFilter, spectrum: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i += 1) sum += (weights[i] ?? 0) * (spectrum[firstBin + i] ?? 0);
  return sum;
}
