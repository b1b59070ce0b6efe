import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import { LipsyncApiError, LipsyncClient, type Input, type LipsyncRequest } from '@lipsync/client';
import { renameKeys, toCamelCase, toSnakeCase } from '../contract/index.ts';
import { clientConfigFromEnvironment } from '../config/client-config.ts';
import { isUrl, requireReadable } from '../service/parse-input.ts';
import type { OptionFlags } from './option-flags.ts';
import { invalidFlags, UsageError, type FlagProblem } from './usage-error.ts';

/** Where `npm start` serves. */
const defaultServerUrl = 'http://127.0.0.1:3000';

export const serverFlag = [
  '--server <url>',
  `service to use (default: LIPSYNC_SERVER_URL, else ${defaultServerUrl}); its key comes from LIPSYNC_SERVER_KEY`,
] as const;

/** Returns a client of the service that a command uses. Throws a `UsageError` for an invalid address. */
export function connect(server: string | undefined): LipsyncClient {
  const { serverUrl, serverKey } = clientConfigFromEnvironment();
  const baseUrl = server ?? (serverUrl || defaultServerUrl);
  const url = /^https?:\/\//.test(baseUrl) ? URL.parse(baseUrl) : null;
  if (!url || url.username !== '' || url.password !== '')
    throw invalidFlags([{ flag: '--server', message: 'must be an http or https URL without a key or password' }]);
  return new LipsyncClient({ baseUrl, apiKey: serverKey || undefined });
}

/** Returns the request for a job of the service: files are uploaded, URLs are fetched by the service. */
export async function toRequest(
  { video, audio }: { readonly video: string; readonly audio: string },
  flags: OptionFlags,
  given: Readonly<Record<string, unknown>>,
): Promise<LipsyncRequest> {
  const contradictions = flags.listContradictions(given);
  if (contradictions.length > 0) throw invalidFlags(contradictions);
  return {
    // The service checks the options: it may have other providers than this installation.
    ...toFields(flags.read(given)),
    video: await toInput(video, 'clip'),
    audio: await toInput(audio, 'speech'),
  };
}

/** Returns the options of flags as the API spells them. */
export function toFields({
  providerOptions,
  consent,
  ...options
}: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return {
    ...renameKeys(options, toSnakeCase),
    ...(providerOptions !== undefined && { provider_options: toWireOptions(providerOptions) }),
    ...(consent !== undefined && { consent: isObject(consent) ? renameKeys(consent, toSnakeCase) : consent }),
  };
}

async function toInput(source: string, what: string): Promise<Input> {
  if (isUrl(source)) return source;
  const path = await requireReadable(source, what);
  return new File([await openAsBlob(path)], basename(path));
}

/** Options by provider, with their names as the API spells them. What is no object stays, for the service to refuse. */
function toWireOptions(given: unknown): unknown {
  if (!isObject(given)) return given;
  return Object.fromEntries(
    Object.entries(given).map(([id, options]) => [id, isObject(options) ? renameKeys(options, toSnakeCase) : options]),
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Runs `call`. A refusal of single fields by the service becomes a `UsageError` that names their flags. */
export async function namingFlags<Result>(flags: OptionFlags, call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof LipsyncApiError) || error.errors.length === 0) throw error;
    throw new UsageError(
      flags.nameFlags(error.message),
      error.errors.map(({ field, message }) => toFieldProblem(flags, field, message)),
    );
  }
}

/** A problem with a field of a request under the name of its flag or argument. */
export function toFieldProblem(flags: OptionFlags, field: string, message: string): FlagProblem {
  const input = /^(video|audio)(_url)?$/.exec(field)?.[1];
  if (input !== undefined) return { flag: `<${input}>`, message };
  const [name = '', ...rest] = field.split('.');
  const path = name === 'provider_options' ? [name, ...rest].map(toCamelCase) : [toCamelCase(name), ...rest];
  return flags.toFlagProblem({ path, message });
}
