export { melBandCount } from '../../../audio/mel-bank.ts';
export { melChunkColumns, melChunkLength, openMelChunks, silentMelChunk, type MelChunksOptions } from './mel-chunks.ts';
