export { melChunkLength, openMelChunks, trainedWindowStartMs, type MelChunksOptions } from './mel-chunks.ts';
