export { melChunkColumns, melChunkLength, openMelChunks, trainedWindowStartMs, type MelChunksOptions } from './mel-chunks.ts';
export { melBandCount } from './mel-bank.ts';
