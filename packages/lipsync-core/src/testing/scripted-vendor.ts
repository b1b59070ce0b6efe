import { LipsyncError, type ErrorCode } from '../errors/index.ts';
import type {
  OperationStatus,
  ProviderFacts,
  RemoteProvider,
  Take,
  TakeContext,
  TakeRequest,
} from '../providers/provider.ts';
import type { Operation, OperationRequest } from '../contract/provider-types.ts';

/** Result of a vendor call: a value, or an error to throw. */
type Step<Answer> = Answer | ErrorCode | LipsyncError;

/** A fake remote provider. Each list scripts the results of the next calls; with an empty list, calls succeed. */
export class ScriptedVendor implements RemoteProvider {
  readonly kind = 'remote';
  readonly facts: ProviderFacts = { id: 'heygen', degraded: false };
  readonly timeoutMs = 600_000;
  readonly requestLifetimeMs = 23 * 3_600_000;
  maxConcurrent = 5;
  /** Idempotency keys of the prepared requests, in order. */
  readonly ordered: string[] = [];
  /** Idempotency keys of the started operations, in order. */
  readonly started: string[] = [];
  readonly canceled: string[] = [];
  /** Ids of the operations whose copies were deleted, in order. */
  readonly deletedCopies: string[] = [];
  starts: Step<'op'>[] = [];
  /** Results of `find` for unacknowledged requests. */
  finds: Step<'none' | 'op'>[] = [];
  checks: Step<OperationStatus['status'] | 'billed'>[] = [];
  /** Costs in micros of canceled operations. */
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

  async deleteCopies({ operation }: { readonly operation: Operation | null }): Promise<void> {
    if (operation) this.deletedCopies.push(operation.id);
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

  async collect(
    _operation: Operation,
    _request: TakeRequest,
    _context: TakeContext,
  ): Promise<Omit<Take, 'costMicros'>> {
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

/** Result names and error codes are disjoint. */
function resultOf(step: string | LipsyncError): string {
  if (typeof step !== 'string') throw step;
  if (['op', 'none', 'take', 'pending', 'billed', 'done', 'failed'].includes(step)) return step;
  // `as`: by the type of `Step`, a string that is not a result name is an error code.
  throw new LipsyncError(step as ErrorCode, 'scripted');
}
