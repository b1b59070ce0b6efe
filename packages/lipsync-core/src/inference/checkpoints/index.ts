export { openCheckpoint, type Checkpoint, type OpenCheckpointOptions, type TensorEntry } from './checkpoint.ts';
export { type CheckpointLimits } from './checkpoint-limits.ts';
export { type ElementType } from './element-types.ts';
