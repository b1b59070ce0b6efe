import { randomUUID } from 'node:crypto';
import type { Warning } from '../contract/provider-types.ts';
import type { Clock } from '../contract/ports.ts';
import type { RenderPool } from '../processes/render-pool.ts';
import { defineRenderTask } from '../processes/render-task.ts';
import type { SigningIdentity } from './cose-signature.ts';
import type { markOutputTask } from './mark-output-task.ts';
import type { TimeStampAuthority } from './time-stamp.ts';

const markOutputRenderTask = defineRenderTask<typeof markOutputTask>(
  './mark-output-task',
  'markOutputTask',
  import.meta.url,
);

/** No file takes this long; a disk that hangs does. */
const markLimitMs = 15 * 60_000;

export interface OutputMarkerOptions {
  readonly renderPool: RenderPool;
  readonly clock: Clock;
  /** The version that manifests state. */
  readonly version: string;
  /** Whether an output that cannot be marked must not be delivered. */
  readonly isRequired: boolean;
  /** Whether outputs state their source type as XMP, too. */
  readonly withXmp: boolean;
  /** Producer that the label of GB 45438-2025 states for takes without their own; null for none. */
  readonly aigcProducer: string | null;
  /** Null for signatures without a time stamp. */
  readonly timeStampAuthority: TimeStampAuthority | null;
  /** Returns the identity that signs at that time. */
  identity(nowMs: number): Promise<SigningIdentity>;
  /** SHA-256 of the model file of a provider; null without one. */
  modelDigestOf(provider: string): Promise<string | null>;
}

/** A finished take with what it was made from. */
export interface TakeToMark {
  readonly takePath: string;
  /** The file that a vendor returned, if the take is a copy of it. */
  readonly vendorTakePath?: string | undefined;
  /** Null if the lips were not changed. */
  readonly provider: string | null;
  /** The inputs as they were sent; null if they are no longer there. */
  readonly clipPath: string | null;
  readonly speechPath: string | null;
  /** Producer that the label of GB 45438-2025 states. */
  readonly aigcProducer?: string | undefined;
}

/** A marked copy, with warnings about the marks of the inputs. */
export interface MarkedFile {
  readonly path: string;
  readonly warnings: readonly Warning[];
}

/** Signs outputs. */
export class OutputMarker {
  readonly #options: OutputMarkerOptions;

  constructor(options: OutputMarkerOptions) {
    this.#options = options;
  }

  get isRequired(): boolean {
    return this.#options.isRequired;
  }

  /**
   * Writes a copy with a signed manifest beside the take. Throws the errors of the task, those of the file system, and
   * the abort error.
   */
  async mark({ takePath, provider, aigcProducer, ...inputs }: TakeToMark, signal: AbortSignal): Promise<MarkedFile> {
    const { clock, identity, modelDigestOf, renderPool, timeStampAuthority, version, withXmp } = this.#options;
    const producer = aigcProducer ?? this.#options.aigcProducer;
    const nowMs = clock.nowMs();
    const facts = {
      id: randomUUID(),
      markedAt: new Date(nowMs).toISOString(),
      provider,
      modelDigest: provider === null ? null : await modelDigestOf(provider),
      version,
    };
    const targetPath = `${takePath}.marked`;
    const metadata = { withXmp, aigcProducer: producer, timeStampAuthority };
    const input = { sourcePath: takePath, targetPath, ...inputs, facts, ...metadata, identity: await identity(nowMs) };
    const limit = AbortSignal.any([signal, AbortSignal.timeout(markLimitMs)]);
    const warnings = await renderPool.run(markOutputRenderTask, input, { signal: limit });
    return { path: targetPath, warnings };
  }
}
