import type { FaultRuleState } from './faults/fault-rules.ts';
import type { FaultRuleInput } from './faults/fault-types.ts';
import { HeygenError } from './http/answer.ts';
import type { LoggedRequest } from './http/request-log.ts';
import { isActive, type Operation, type OperationStatus } from './lipsyncs/operation.ts';
import type { WalletState } from './lipsyncs/wallet.ts';
import type { StandinParts } from './parts.ts';
import type { StandinSettings } from './settings.ts';
import type { Delivery } from './webhook-sender.ts';

/** A job as the control API returns it. */
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
  /** Oldest first, including deleted ones. */
  readonly operations: readonly OperationFacts[];
  /** Number of pending and running operations. */
  readonly runningNow: number;
  readonly mostAtOnce: number;
}

export interface UploadedFile {
  readonly name: string;
  readonly mimeType: string;
  readonly path: string;
}

/** Controls and inspects a stand-in, for tests and for `/standin/` routes. */
export class StandinControl {
  readonly #parts: StandinParts;
  readonly #openingSettings: StandinSettings;

  constructor(parts: StandinParts) {
    this.#parts = parts;
    this.#openingSettings = parts.settings.current;
  }

  /** Throws a ZodError for a rule that is malformed or can never match, and then adds none of them. */
  addFaults(...rules: readonly FaultRuleInput[]): void {
    this.#parts.faults.add(rules);
  }

  faults(): readonly FaultRuleState[] {
    return this.#parts.faults.list();
  }

  clearFaults(): void {
    this.#parts.faults.clear();
  }

  /** The last 20 000 requests to the API and the storage, oldest first. */
  log(): readonly LoggedRequest[] {
    return this.#parts.log.list();
  }

  /** Requests that sent a secret to a signed link. */
  leaks(): readonly LoggedRequest[] {
    return this.log().filter(({ leak }) => leak);
  }

  wallet(): WalletState {
    return this.#parts.wallet.state();
  }

  /** Sets the balance and forgets all charges. */
  setBalance(balanceMicros: number): void {
    this.#parts.wallet.reset(balanceMicros);
  }

  /** Uploaded files in the order of their arrival; they exist until the stand-in closes or is reset. */
  uploads(): readonly UploadedFile[] {
    return this.#parts.assets.all().map(({ name, mimeType, file }) => ({ name, mimeType, path: file.path }));
  }

  operations(): OperationsState {
    const operations = this.#parts.operations.all();
    return {
      operations: operations.map(toFacts),
      runningNow: operations.filter(isActive).length,
      mostAtOnce: this.#parts.operations.maxActive,
    };
  }

  settings(): StandinSettings {
    return this.#parts.settings.current;
  }

  /** Takes effect immediately, also for existing jobs. Throws a ZodError for invalid settings. */
  changeSettings(changes: Partial<StandinSettings>): void {
    this.#parts.settings.change(changes);
  }

  /** Lets one stuck job, or all of them, continue. */
  release(lipsyncId?: string): void {
    const { operations } = this.#parts;
    for (const operation of operations.all().filter(({ id }) => lipsyncId === undefined || id === lipsyncId)) {
      operation.stuckAt = null;
      operation.nudge();
    }
  }

  /** All attempts to deliver an event. */
  webhooks(): readonly Delivery[] {
    return this.#parts.webhooks.deliveries();
  }

  /** Sends the event of an ended job again, as a new event. Throws 404 for an unknown job, 409 for an active one. */
  async sendWebhook(lipsyncId: string): Promise<void> {
    const operation = this.#parts.operations.require(lipsyncId);
    if (isActive(operation)) throw new HeygenError(409, 'conflict', `Lipsync ${lipsyncId} has not ended`);
    await this.#parts.webhooks.send(operation);
  }

  /** Restores the state after the start, including settings. Keeps the key. */
  async reset(): Promise<void> {
    const { operations, faults, log, assets, idempotency, webhooks, wallet, settings, media } = this.#parts;
    for (const part of [operations, faults, log, assets, idempotency, webhooks]) part.clear();
    wallet.reset(this.#parts.openingBalanceMicros);
    settings.change(this.#openingSettings);
    await media.clear();
  }
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
