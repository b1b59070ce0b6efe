export { createMouthRenderer } from './mouth-renderer.ts';
export { MouthReferenceBuilder, type MouthReference } from './mouth-reference.ts';
export type { MouthAim } from './mouth-target.ts';
