/** Bands of the spectrogram that Wav2Lip hears. */
export const melBandCount = 80;

const lowestHz = 55;
const highestHz = 7600;
/** Slaney's scale is linear up to 1000 Hz and logarithmic from there. */
const linearHzPerMel = 200 / 3;
const logStartHz = 1000;
const logStartMel = logStartHz / linearHzPerMel;
const logStep = Math.log(6.4) / 27;

export interface MelBand {
  readonly firstBin: number;
  readonly weights: Float64Array;
}

/**
 * The triangular filters of the reference for magnitudes of bins `binHz` apart, lowest band first: evenly spaced on the
 * mel scale of Slaney's Auditory Toolbox (1998), each scaled to the same area (2 / width in Hz).
 */
export function createMelBank(binHz: number): readonly MelBand[] {
  const lowest = toMel(lowestHz);
  const spacing = (toMel(highestHz) - lowest) / (melBandCount + 1);
  return Array.from({ length: melBandCount }, (_, band) => {
    const left = toHz(lowest + band * spacing);
    const center = toHz(lowest + (band + 1) * spacing);
    const right = toHz(lowest + (band + 2) * spacing);
    const firstBin = Math.ceil(left / binHz);
    const lastBin = Math.floor(right / binHz);
    const weights = Float64Array.from({ length: lastBin - firstBin + 1 }, (_, place) => {
      const hz = (firstBin + place) * binHz;
      const height = Math.min((hz - left) / (center - left), (right - hz) / (right - center));
      return (height * 2) / (right - left);
    });
    return { firstBin, weights };
  });
}

function toMel(hz: number): number {
  return hz < logStartHz ? hz / linearHzPerMel : logStartMel + Math.log(hz / logStartHz) / logStep;
}

function toHz(mel: number): number {
  return mel < logStartMel ? mel * linearHzPerMel : logStartHz * Math.exp((mel - logStartMel) * logStep);
}
