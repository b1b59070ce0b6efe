/** Made-up sound and face for trying models, different in every place, the same every time. */

/** A mel value, −4 to 4. Pure. */
export function trialMel(index: number): number {
  return 4 * Math.sin(index * index * 0.37);
}

/** A shade of a picture, 0 to 1. Pure. */
export function trialShade(index: number): number {
  return 0.5 + 0.5 * Math.sin(index * index * 0.11);
}
