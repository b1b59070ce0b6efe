export { melBandCount } from '../../../audio/mel-spectrogram.ts';
export { melChunkColumns, melChunkLength, openMelChunks, silentMelChunk, type MelChunksOptions } from './mel-chunks.ts';
