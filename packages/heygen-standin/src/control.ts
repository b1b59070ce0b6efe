import type { AppDependencies } from './app.ts';
import type { FaultRuleState } from './faults/fault-rules.ts';
import type { FaultRuleInput } from './faults/fault-types.ts';
import { HeygenError } from './http/heygen-error.ts';
import type { LoggedRequest } from './http/request-log.ts';
import { isActive, type Operation, type OperationStatus } from './lipsyncs/operation.ts';
import type { WalletState } from './lipsyncs/wallet.ts';
import type { StandinSettings } from './settings.ts';
import type { Delivery } from './webhooks/webhook-sender.ts';

/** A job as the control API tells it. */
export interface OperationFacts {
  readonly lipsyncId: string;
  readonly title: string | null;
  readonly callbackId: string | null;
  readonly mode: 'speed' | 'precision';
  readonly status: OperationStatus;
  readonly isStuck: boolean;
  readonly reads: number;
  readonly failureMessage: string | null;
  readonly durationMs: number | null;
  readonly createdAt: string;
  readonly deletedAt: string | null;
}

export interface OperationsState {
  /** Oldest first, with the deleted. */
  readonly operations: readonly OperationFacts[];
  /** Pending or running, and not deleted. */
  readonly runningNow: number;
  readonly mostAtOnce: number;
}

/** How a test, or a person through `/standin/`, steers the stand-in and looks into it. */
export interface StandinControl {
  /** Throws a ZodError for a rule that is malformed or could never fire; then none is added. */
  addFaults(...rules: readonly FaultRuleInput[]): void;
  faults(): readonly FaultRuleState[];
  clearFaults(): void;
  /** What was asked of the API and the storage, oldest first; the last 20 000. */
  log(): readonly LoggedRequest[];
  /** The requests that carried a key where only signed links belong. */
  leaks(): readonly LoggedRequest[];
  wallet(): WalletState;
  /** A new wallet, without charges. */
  setBalance(balanceMicros: number): void;
  operations(): OperationsState;
  settings(): StandinSettings;
  /** Takes effect at once, for jobs that wait, too. Throws a ZodError for a value that cannot be. */
  changeSettings(changes: Partial<StandinSettings>): void;
  /** Lets stuck jobs go on: the one named, or all. */
  release(lipsyncId?: string): void;
  /** Every attempt to call a `callback_url`. */
  webhooks(): readonly Delivery[];
  /** Tells the `callback_url` of an ended job again, as a new event. Throws for a job that is unknown or has not ended. */
  sendWebhook(lipsyncId: string): Promise<void>;
  /** As after the start, settings included; jobs are ended, assets deleted. The key stays. */
  reset(): Promise<void>;
}

export function createControl(dependencies: AppDependencies): StandinControl {
  const { openingBalanceMicros, faults, log, wallet, operations, settings, assets, media, idempotency, webhooks } =
    dependencies;
  const openingSettings = settings.current;
  return {
    addFaults: (...rules) => faults.add(rules),
    faults: () => faults.list(),
    clearFaults: () => faults.clear(),
    log: () => log.entries(),
    leaks: () => log.entries().filter(({ leak }) => leak),
    wallet: () => wallet.state(),
    setBalance: (balanceMicros) => wallet.reset(balanceMicros),
    operations: () => ({
      operations: operations.all().map(toFacts),
      runningNow: operations.all().filter(isActive).length,
      mostAtOnce: operations.mostAtOnce(),
    }),
    settings: () => settings.current,
    changeSettings: (changes) => settings.change(changes),
    release(lipsyncId) {
      for (const operation of operations.all().filter(({ id }) => lipsyncId === undefined || id === lipsyncId)) {
        operation.stuckAt = null;
        operation.nudge();
      }
    },
    webhooks: () => webhooks.deliveries(),
    async sendWebhook(lipsyncId) {
      const operation = operations.require(lipsyncId);
      if (isActive(operation)) throw new HeygenError(409, 'conflict', `Lipsync ${lipsyncId} has not ended`);
      await webhooks.send(operation);
    },
    async reset() {
      operations.clear();
      for (const part of [faults, log, assets, idempotency, webhooks]) part.clear();
      wallet.reset(openingBalanceMicros);
      settings.change(openingSettings);
      await media.clear();
    },
  };
}

function toFacts(operation: Operation): OperationFacts {
  const { id, title, request, status, stuckAt, reads, failureMessage, output, createdAtMs, deletedAtMs } = operation;
  return {
    lipsyncId: id,
    title,
    callbackId: request.callback_id ?? null,
    mode: request.mode,
    status,
    isStuck: stuckAt === status,
    reads,
    failureMessage,
    durationMs: output?.durationMs ?? null,
    createdAt: new Date(createdAtMs).toISOString(),
    deletedAt: deletedAtMs === null ? null : new Date(deletedAtMs).toISOString(),
  };
}
