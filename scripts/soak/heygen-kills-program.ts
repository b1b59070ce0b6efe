/** `node heygen-kills-program.ts CLIP SPEECH OUTPUT`: runs one job in this process, as an embedding program does. */
import { inspect } from 'node:util';
import { getLipsyncService } from '@lipsync/core';

const [, , videoPath = '', audioPath = '', outputPath = ''] = process.argv;
const service = getLipsyncService();
try {
  const { costUsd, methodUsed } = await service.generateLipsync({ videoPath, audioPath, outputPath, method: 'heygen' });
  process.stdout.write(`${JSON.stringify({ costUsd, methodUsed })}\n`);
} catch (error) {
  // Expected when an earlier start was killed after it published its output.
  process.stderr.write(`${inspect(error)}\n`);
  process.exitCode = 1;
} finally {
  await service.close();
}
