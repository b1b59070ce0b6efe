/** `node heygen-kills-program.ts CLIP SPEECH OUTPUT`: one job inside this program, as anybody's program would do it. */
import { inspect } from 'node:util';
import { getLipsyncService } from '@lipsync/core';

const [, , videoPath = '', audioPath = '', outputPath = ''] = process.argv;
const service = getLipsyncService();
try {
  const { costUsd, methodUsed } = await service.generateLipsync({ videoPath, audioPath, outputPath, method: 'heygen' });
  process.stdout.write(`${JSON.stringify({ costUsd, methodUsed })}\n`);
} catch (error) {
  // One that was killed after it had published its output has nothing left to do.
  process.stderr.write(`${inspect(error)}\n`);
  process.exitCode = 1;
} finally {
  await service.close();
}
