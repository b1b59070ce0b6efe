import { z } from 'zod';

const errorShape = {
  /** Mean and largest difference of a color value from the float32 form, in levels of 255, where drawings are pasted. */
  mean_levels: z.number(),
  worst_levels: z.number(),
  /** Mean SSIM of luma over the blocks inside the paste; null when none fits. */
  ssim: z.number().nullable(),
};

/** What the import of an eight-bit form measured; part of the record of the model. */
export const quantizationSchema = z.object({
  /** The limit of `mean_levels` that was requested. */
  max_error: z.number(),
  /** Largest integer weight: 127, or 63 when the machine that imported it saturates larger products. */
  largest_weight: z.union([z.literal(127), z.literal(63)]),
  calibration: z.object({
    clip_sha256: z.string(),
    /** Faces that the scales are derived from, and other faces on which errors and speed are measured. */
    observed_faces: z.int(),
    measured_faces: z.int(),
  }),
  /** Layers that stay in float32 for the sake of the error. */
  float_layers: z.array(z.string()),
  error: z.object(errorShape),
  /** Median time per face on all cores of the machine that imported it, batches of 8. */
  ms_per_face: z.object({ float32: z.number(), int8: z.number() }),
  /** The error by number of float layers, as far as the search tried them. */
  steps: z.array(z.object({ float_layers: z.int(), ...errorShape })),
});

export type Quantization = Readonly<z.infer<typeof quantizationSchema>>;
