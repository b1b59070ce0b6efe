/**
 * `node draw-mouth.ts VIDEO AUDIO OUTPUT DATA_FOLDER`: draws the lips of a video along a speech. Exits with 3 without a
 * face.
 */
import { getLipsyncService, LipsyncError } from '@lipsync/core';
import { noFaceExitCode } from './moving-mouth.ts';

const [videoPath = '', audioPath = '', outputPath = '', dataDir = ''] = process.argv.slice(2);
const service = getLipsyncService({ dataDir });
try {
  await service.generateLipsync({ videoPath, audioPath, outputPath, method: 'preview' });
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = LipsyncError.isInstance(error) && error.code === 'clip_unusable' ? noFaceExitCode : 1;
} finally {
  await service.close();
}
