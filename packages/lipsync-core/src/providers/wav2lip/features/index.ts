export { melBandCount } from './mel-bank.ts';
export { melChunkColumns, melChunkLength, openMelChunks, trainedWindowStartMs, type MelChunksOptions } from './mel-chunks.ts';
