import type { z } from 'zod';
import type { ProviderId, ProviderOptionValues, RequestProvider } from '../contract/index.ts';
import type { Clock } from '../contract/ports.ts';
import type { ProviderKind } from '../contract/provider-types.ts';
import type { Settings, SettingValues } from '../contract/setting-types.ts';
import type { NetworkKind } from '../inference/models/network-kind.ts';
import type { RenderPool } from '../processes/render-pool.ts';
import type { ThroughputProfile } from '../scheduling/throughput-estimates.ts';
import type { StateStore } from '../storage/state-store.ts';
import type { Provider, ProviderFacts } from './provider.ts';

/** Settings of the installation that concern several providers. */
export interface SharedSettings {
  readonly allowedPrivateHosts: readonly string[];
  readonly gpuEnabled: boolean;
  /** `CUDA_VISIBLE_DEVICES` of this process; null when it is not set. */
  readonly cudaVisibleDevices: string | null;
  /** Absolute folder for files that can be rebuilt. */
  readonly cacheFolder: string;
  /** Makes a path of a setting absolute. */
  resolvePath(path: string): string;
}

/** What a provider is built from, besides its settings. */
export interface ProviderParts {
  readonly renderPool: RenderPool;
  readonly state: StateStore;
  readonly clock: Clock;
  /** Base URL of an API that shares the state, for callbacks of vendors; empty without one. */
  readonly callbackBaseUrl: string;
  /** Called with the device whenever a local provider starts to render. */
  onDevice?(provider: string, device: string): void;
}

/** A command-line flag for a provider option. */
export interface OptionFlag {
  readonly description: string;
  /** Placeholder for the value in the help text. */
  readonly value: string;
  /** How the text becomes a value; text stays text by default. */
  readonly kind?: 'number' | 'json';
}

/** Findings of `GET /providers` that settings alone do not give; null for what is unknown or does not apply. */
export interface ProviderFindings {
  /** Device that the engine used last, or is bound to. */
  readonly device: string | null;
  /** License of the configured weights, from the record beside them. */
  readonly licence: string | null;
  /** Precision of the configured model (`float32`, `float16` or `int8`), as its model record states it. */
  readonly modelPrecision: string | null;
  /** Whether the layers of the configured model are built for that device. */
  readonly modelSuitsDevice: boolean | null;
  readonly balanceMicros: number | null;
}

/** One line of `doctor`. */
export interface DoctorCheck {
  readonly name: string;
  /** `optional`: missing, but only some uses need it. */
  readonly state: 'ok' | 'optional' | 'missing';
  readonly detail: string;
  /** What to do about it; empty when nothing has to be done. */
  readonly advice: string;
}

/** An attempt as a callback URL names it: verifying it needs no lookup. */
export interface CallbackAttempt {
  readonly jobId: string;
  /** Index of the attempt in the job, from 0. */
  readonly index: number;
}

/** An incoming call of a vendor. Its body is not read: a callback only triggers a status check. */
export interface CallbackRequest {
  /** Last segment of the path. */
  readonly attemptName: string;
  readonly query: Readonly<Record<string, unknown>>;
}

/** What remote work costs and how much of it may run. */
export interface RemoteTerms {
  /** Maximum number of simultaneous operations, over all machines. */
  readonly maxConcurrent: number;
  /** Maximum duration of an operation. */
  readonly operationTimeoutMs: number;
  /** Prices per second of output in millionths of a dollar, by the option value that selects them. */
  readonly microsPerSecond: Readonly<Record<string, number>>;
  /** Maximum cost of an output of `durationMs`, in millionths of a dollar. Pure. */
  quote(durationMs: number, options: ProviderOptionValues): number;
}

/** A provider with the settings of this installation. Creating one starts nothing. */
export interface ConfiguredProvider {
  /** Name of the setting whose absence keeps the provider from being used; null when it is ready. */
  readonly missingSetting: string | null;
  /** Null for a provider that runs on this machine: its cost is the time it takes. */
  readonly remote: RemoteTerms | null;
  /** Warnings about settings that work as they are, for the log at start. Throws `request_invalid` for others. */
  listWarnings?(): readonly string[];
  /** The settings that change its takes, as text. */
  readonly takeSettings?: string;
  /** The model file that a setting names, for `models list`; its path is null when the setting is empty. */
  readonly modelFile?: { readonly setting: string; readonly path: string | null };
  /** Throws `resource_exhausted` when the state store is unavailable. */
  inspect?(context: { readonly state: StateStore }): Promise<Partial<ProviderFindings>>;
  /** Never throws for settings or files that are wrong: it reports them. */
  diagnose(): Promise<DoctorCheck>;
  /** The attempt that a call is about; undefined unless the call is proven genuine. Constant time. */
  verifyCallback?(request: CallbackRequest): CallbackAttempt | undefined;
  /** Called only when no setting is missing. The core closes the provider. */
  create(parts: ProviderParts): Provider;
}

/**
 * Everything about a provider. Its id is also the request's `method`, and `provider_options.<id>` holds its options.
 */
export interface ProviderDefinition extends RequestProvider {
  readonly id: ProviderId;
  readonly kind: ProviderKind;
  readonly facts: ProviderFacts;
  /** What allows commercial use of its output, in the words of the README's table. */
  readonly license: string;
  readonly options: RequestProvider['options'] & {
    /** A flag `--<id>-<option>` for every option of the schema. */
    readonly flags: Readonly<Record<string, OptionFlag>>;
  };
  /** Environment variables; their names begin with the id in upper case. */
  readonly settings: Settings;
  /** Path below which the vendor calls the API, followed by `/:attempt`. */
  readonly callbackPath?: string;
  /** The networks whose models this provider runs and the user imports. */
  readonly networks?: readonly NetworkKind[];
  /** Which throughput estimate applies, and what is assumed before any take was measured. Pure. */
  throughput(options: ProviderOptionValues): ThroughputProfile;
  configure(values: SettingValues, shared: SharedSettings): ConfiguredProvider;
}

/** A definition whose options and setting values have the types of its own schemas. */
interface TypedDefinition<Options extends z.ZodObject, Table extends Settings> extends Omit<
  ProviderDefinition,
  'options' | 'settings' | 'throughput' | 'configure'
> {
  readonly options: {
    readonly schema: Options;
    readonly flags: Readonly<Record<keyof z.output<Options>, OptionFlag>>;
    readonly formerFields?: Readonly<
      Record<string, { readonly option: keyof z.output<Options> & string; readonly schema: z.ZodType }>
    >;
  };
  readonly settings: Table;
  throughput(options: z.output<Options>): ThroughputProfile;
  configure(
    values: SettingValues<Table>,
    shared: SharedSettings,
  ): Omit<ConfiguredProvider, 'remote'> & {
    readonly remote:
      | (Omit<RemoteTerms, 'quote'> & { quote(durationMs: number, options: z.output<Options>): number })
      | null;
  };
}

/** Checks a definition against its own schemas. The registry parses options and settings before they reach it. */
export function defineProvider<Options extends z.ZodObject, Table extends Settings>(
  definition: TypedDefinition<Options, Table>,
): ProviderDefinition {
  return Object.freeze(definition);
}

/**
 * The options of one provider in a request or a stored job, with defaults. Throws `ZodError` for values of no known
 * version.
 */
export function readProviderOptions(
  { id, options: { schema } }: Pick<ProviderDefinition, 'id' | 'options'>,
  providerOptions: Readonly<Record<string, ProviderOptionValues>>,
): ProviderOptionValues {
  return schema.parse(providerOptions[id] ?? {});
}
