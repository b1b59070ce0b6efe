import type { ProviderId } from '../contract/index.ts';
import { toPlanStep, type ExecutionPlan } from '../scheduling/execution-plan.ts';

/** A plan of these providers without caps; `heygen` is the remote one. */
export function testPlan(...ids: readonly ProviderId[]): ExecutionPlan {
  return ids.map((id) => toPlanStep({ id, kind: id === 'heygen' ? 'remote' : 'inline' }, {}));
}
