import type { ModelRecord } from '../inference/models/model-record.ts';
import type { Quantization } from '../inference/models/quantization.ts';

/** Precision and form of a model, for display. */
export function kindOf({
  element_type: elementType,
  form,
}: Pick<ModelRecord['model'], 'element_type' | 'form'>): string {
  switch (form) {
    case 'plain':
      return `${elementType}, plain layers, for a GPU`;
    case 'rewritten':
      return `${elementType}, layers rewritten for a CPU`;
    case 'quantized':
      return `${elementType}, quantized layers, for a CPU`;
    case null:
      return elementType;
  }
}

const notFaster =
  'warning     it is not faster than the float32 form on this machine: allow a larger --max-error, or import without --precision';

/** What the import of an eight-bit form measured, as lines for people. */
export function describeQuantization(quantization: Quantization): readonly string[] {
  const { float_layers: floatLayers, error, ms_per_face: ms, calibration, steps, max_error: maxError } = quantization;
  const share = ms.int8 / ms.float32;
  return [
    `error       ${describeError(error)}; limit ${maxError} mean`,
    `speed       ${ms.int8.toFixed(1)} ms per face, ${share.toFixed(2)} of the float32 form (${ms.float32.toFixed(1)} ms)`,
    ...(share < 1 ? [] : [notFaster]),
    `float32     ${floatLayers.length === 0 ? 'none' : floatLayers.join(', ')}`,
    ...steps.map((step) => `  ${String(step.float_layers).padStart(3)} layers in float32: ${describeError(step)}`),
    `calibrated  on ${calibration.observed_faces} faces; error and speed measured on ${calibration.measured_faces} others of the same clip`,
    'note        the error is that of this checkpoint on this clip; other faces and voices may lose more, so compare takes',
  ];
}

function describeError({ mean_levels: mean, worst_levels: worst, ssim }: Quantization['error']): string {
  const similarity = ssim === null ? '' : `, SSIM ${ssim.toFixed(4)}`;
  return `mean ${mean.toFixed(2)} and worst ${worst} levels of 255${similarity} inside the paste`;
}
