const zeroCrossings = 12;

/**
 * Resamples to `ratio` times as many samples with a windowed sinc (squared parabola); a ratio below 1 is low-passed
 * first.
 */
export function resample(samples: Float32Array, ratio: number): Float32Array {
  const cutoff = Math.min(1, ratio) * 0.97;
  const reach = zeroCrossings / cutoff;
  return Float32Array.from({ length: Math.floor(samples.length * ratio) }, (_, i) => {
    const position = i / ratio;
    let sum = 0;
    for (let k = Math.ceil(position - reach); k <= position + reach; k++) {
      const distance = position - k;
      const phase = Math.PI * distance * cutoff;
      const sinc = phase === 0 ? 1 : Math.sin(phase) / phase;
      sum += (samples[k] ?? 0) * cutoff * sinc * (1 - (distance / reach) ** 2) ** 2;
    }
    return sum;
  });
}
