import { describe, expect, it } from 'vitest';
import type { Quantization } from '../inference/models/quantization.ts';
import { describeQuantization } from './model-form.ts';

function quantization(change: Partial<Quantization> = {}): Quantization {
  const error = { mean_levels: 0.5, worst_levels: 3, ssim: null };
  return {
    float_layers: [],
    error,
    largest_weight: 127,
    calibration: { clip_sha256: 'a'.repeat(64), observed_faces: 32, measured_faces: 16 },
    ms_per_face: { int8: 6.7969, float32: 14.5965 },
    steps: [{ float_layers: 0, ...error }],
    max_error: 1,
    ...change,
  };
}

describe('The lines about an eight-bit model', () => {
  it('They state its error and its speed.', () => {
    const lines = describeQuantization(quantization());
    expect(lines).toContain('error       mean 0.50 and worst 3 levels of 255 inside the paste; limit 1 mean');
    expect(lines).toContain('speed       6.8 ms per face, 0.47 of the float32 form (14.6 ms)');
    expect(lines.join()).not.toContain('warning');
  });

  it('They warn about a model that is not faster than the float32 form.', () => {
    const lines = describeQuantization(quantization({ ms_per_face: { int8: 25.3, float32: 15.9 } }));
    expect(lines.filter((line) => line.startsWith('warning'))).toEqual([expect.stringContaining('not faster')]);
  });
});
