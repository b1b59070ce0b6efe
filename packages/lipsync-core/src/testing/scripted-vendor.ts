import { LipsyncError, type ErrorCode } from '../errors/index.ts';
import type { OperationStatus, RemoteProvider, TakeRequest } from '../providers/provider.ts';

/** What a step of the vendor does: its answer, or an error with that code. */
type Step<Answer> = Answer | ErrorCode | LipsyncError;

/** A remote provider that does what it is told: each list holds what comes next, and when it is empty all goes well. */
export class ScriptedVendor implements RemoteProvider {
  readonly kind = 'remote';
  readonly facts = { id: 'heygen', degraded: false } as const;
  readonly timeoutMs = 600_000;
  maxConcurrent = 5;
  /** Idempotency keys, in the order in which they were used. */
  readonly started: string[] = [];
  readonly canceled: string[] = [];
  starts: Step<'op'>[] = [];
  checks: Step<OperationStatus['status']>[] = [];
  collects: Step<'take'>[] = [];

  quote(): number {
    return 100;
  }

  async start(_request: TakeRequest, { idempotencyKey }: { readonly idempotencyKey: string }) {
    this.started.push(idempotencyKey);
    resultOf(this.starts.shift() ?? 'op');
    return { id: `op-of-${idempotencyKey}`, state: {} };
  }

  async check(operation: { readonly id: string; readonly state: Readonly<Record<string, unknown>> }): Promise<OperationStatus> {
    const status = resultOf(this.checks.shift() ?? 'done');
    switch (status) {
      case 'pending': return { status, checkAgainInMs: 5_000 };
      case 'failed': return { status, code: 'provider_failed', message: 'It broke.', costMicros: 0 };
      default: return { status: 'done', operation, costMicros: 70 };
    }
  }

  async collect() {
    resultOf(this.collects.shift() ?? 'take');
    return { path: 'take.mp4', warnings: [] };
  }

  async cancel({ id }: { readonly id: string }): Promise<void> {
    this.canceled.push(id);
  }
}

/** Names of answers and codes of errors do not overlap. */
function resultOf(step: string | LipsyncError): string {
  if (typeof step !== 'string') throw step;
  if (['op', 'take', 'pending', 'done', 'failed'].includes(step)) return step;
  // `as`: what is no answer is a code, by the type of `Step`.
  throw new LipsyncError(step as ErrorCode, 'scripted');
}
