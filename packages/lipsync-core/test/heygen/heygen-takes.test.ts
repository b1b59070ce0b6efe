import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { framesPerSecond, probeTake } from '../../src/media/index.ts';
import { calm, endOf, startOf, useHeygen, type RequestWishes } from './heygen-bench.ts';

const heygen = useHeygen();

describe('a take made by HeyGen', () => {
  it.each(['speed', 'precision'] as const)('is a whole video and costs what was quoted: %s', async (heygenMode) => {
    const provider = heygen.provider();
    const request = await heygen.request({ clip: 'spoken', heygenMode });
    const operation = await startOf(provider, request);
    const status = await endOf(provider, operation);
    if (status.status !== 'done') throw new Error(status.message);
    const take = await provider.collect(status.operation, request, calm);
    expect(take).toEqual({ path: request.takePath, warnings: [] });
    const facts = await probeTake(request.takePath);
    expect(facts.frameCount).toBe(30);
    expect(status.costMicros).toBe(provider.quote(request));
    expect(heygen.standin.control.wallet().charges.map(({ mode, amountMicros }) => ({ mode, amountMicros }))).toEqual([{ mode: heygenMode, amountMicros: status.costMicros }]);
    expect(await readdir(dirname(request.takePath))).toEqual(['take.mp4']);
  });
});
