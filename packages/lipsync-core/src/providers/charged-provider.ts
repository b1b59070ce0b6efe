import type { Clock } from '../ports/ports.ts';
import type { InlineProvider } from './provider.ts';

const hourMs = 3_600_000;

/** The same provider, whose takes cost the time that they took at `microsPerHour`, in whole millionths of a dollar. */
export function chargeForTime(provider: InlineProvider, { microsPerHour, clock }: { readonly microsPerHour: number; readonly clock: Clock }): InlineProvider {
  return {
    ...provider,
    async run(request, context) {
      const startedMs = clock.nowMs();
      const take = await provider.run(request, context);
      return { ...take, costMicros: take.costMicros + Math.round(((clock.nowMs() - startedMs) * microsPerHour) / hourMs) };
    },
  };
}
