import { expect, it } from 'vitest';
import { chargeForTime } from './charged-provider.ts';
import type { InlineProvider, TakeRequest } from './provider.ts';

it('charges a local take for the time that it took, to the millionth', async () => {
  let nowMs = 1_000;
  const provider: InlineProvider = {
    kind: 'inline', facts: { id: 'wav2lip', degraded: false },
    async run() {
      nowMs += 90_000;
      return { path: 'take.mp4', warnings: [], costMicros: 0 };
    },
  };
  const charged = chargeForTime(provider, { microsPerHour: 1_200_000, clock: { nowMs: () => nowMs } });
  // The provider above looks at nothing.
  const take = await charged.run({} as TakeRequest, { signal: new AbortController().signal, onProgress: () => undefined });
  expect(take.costMicros).toBe(30_000);
});
