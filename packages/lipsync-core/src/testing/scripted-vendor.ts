import { LipsyncError, type ErrorCode } from '../errors/index.ts';
import type { OperationStatus, RemoteProvider, TakeRequest } from '../providers/provider.ts';
import type { Operation, OperationRequest } from '../contract/provider-types.ts';

/** What a step of the vendor does: its answer, or an error with that code. */
type Step<Answer> = Answer | ErrorCode | LipsyncError;

/** A remote provider that does what it is told: each list holds what comes next, and when it is empty all goes well. */
export class ScriptedVendor implements RemoteProvider {
  readonly kind = 'remote';
  readonly facts = { id: 'heygen', degraded: false } as const;
  readonly timeoutMs = 600_000;
  readonly requestLifetimeMs = 23 * 3_600_000;
  maxConcurrent = 5;
  /** Idempotency keys of the orders that were made, in their order. */
  readonly ordered: string[] = [];
  /** Idempotency keys, in the order in which they were used. */
  readonly started: string[] = [];
  readonly canceled: string[] = [];
  starts: Step<'op'>[] = [];
  /** What is found of orders that went unanswered. */
  finds: Step<'none' | 'op'>[] = [];
  checks: Step<OperationStatus['status'] | 'billed'>[] = [];
  /** What an operation is billed that was stopped. */
  cancels: (number | null)[] = [];
  collects: Step<'take'>[] = [];

  quote(): number {
    return 100;
  }

  async prepareRequest(
    _request: TakeRequest,
    { idempotencyKey }: { readonly idempotencyKey: string },
  ): Promise<OperationRequest> {
    this.ordered.push(idempotencyKey);
    return { idempotencyKey, state: {} };
  }

  async start({ idempotencyKey }: OperationRequest): Promise<Operation> {
    this.started.push(idempotencyKey);
    resultOf(this.starts.shift() ?? 'op');
    return operationOf(idempotencyKey);
  }

  async find({ idempotencyKey }: OperationRequest, _context: { readonly sinceMs: number }): Promise<Operation | null> {
    return resultOf(this.finds.shift() ?? 'none') === 'none' ? null : operationOf(idempotencyKey);
  }

  async check(operation: {
    readonly id: string;
    readonly state: Readonly<Record<string, unknown>>;
  }): Promise<OperationStatus> {
    const status = resultOf(this.checks.shift() ?? 'done');
    switch (status) {
      case 'pending':
        return { status, checkAgainInMs: 5_000 };
      case 'billed':
        return { status: 'pending', checkAgainInMs: 5_000, billedMicros: 70 };
      case 'failed':
        return { status, code: 'provider_failed', message: 'It broke.', costMicros: 0 };
      default:
        return { status: 'done', operation, costMicros: 70 };
    }
  }

  async collect() {
    resultOf(this.collects.shift() ?? 'take');
    return { path: 'take.mp4', warnings: [] };
  }

  async cancel({ id }: { readonly id: string }): Promise<number | null> {
    this.canceled.push(id);
    const [billedMicros = 0] = this.cancels.splice(0, 1);
    return billedMicros;
  }
}

function operationOf(idempotencyKey: string): Operation {
  return { id: `op-of-${idempotencyKey}`, state: {} };
}

/** Names of answers and codes of errors do not overlap. */
function resultOf(step: string | LipsyncError): string {
  if (typeof step !== 'string') throw step;
  if (['op', 'none', 'take', 'pending', 'billed', 'done', 'failed'].includes(step)) return step;
  // `as`: what is no answer is a code, by the type of `Step`.
  throw new LipsyncError(step as ErrorCode, 'scripted');
}
