import { randomUUID } from 'node:crypto';
import {
  BaseStateStore,
  contended,
  KeyedMutex,
  LipsyncError,
  type CheckedChange,
  type ContentionLimits,
  type Documents,
  type Json,
  type StoredDocument,
} from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import { listStateScript, readStateScript, writeStateScript } from './state-scripts.ts';

/** Increase when a stored document can no longer be read by this version. */
export const documentFormat = '1';
/** Sorted set of the keys of all documents. */
export const documentIndexKey = 'lipsync:state-keys';
const documentPrefix = 'lipsync:state:';
const markPrefix = 'lipsync:state-written:';

/** Longer than the client keeps resending one command. */
const markLifetimeMs = 60_000;
const maxMutexWaitMs = 10_000;

/** Sorts after every printable ASCII character: all keys with a prefix sort before the prefix followed by this. */
const afterAllCharacters = '\u007F';

type Field = string | null | undefined;

/** The scripts as `defineCommand` adds them to the connection; those without a fixed number of keys take it first. */
interface ScriptCommands {
  lipsyncReadState(keyCount: number, ...keys: readonly string[]): Promise<Field[]>;
  lipsyncWriteState(keyCount: number, ...keysAndArguments: readonly string[]): Promise<number>;
  lipsyncListState(...keysAndArguments: readonly string[]): Promise<Field[]>;
}

export interface RedisStateStoreOptions {
  readonly connection: Redis;
  readonly contention?: ContentionLimits;
}

/**
 * Documents in Redis. A transaction reads them in one script and writes them in another, which does nothing when a
 * document changed in between. Transactions of this process on the same document run one after the other, so that only
 * processes contend. The caller closes the connection, after `close`.
 */
export class RedisStateStore extends BaseStateStore {
  readonly #scripts: ScriptCommands;
  readonly #mutex = new KeyedMutex({ maxWaitMs: maxMutexWaitMs });

  constructor({ connection, contention }: RedisStateStoreOptions) {
    super(contention);
    this.#scripts = defineScripts(connection);
  }

  protected override tryTransact<Result>(
    keys: readonly string[],
    change: (documents: Documents) => CheckedChange<Result>,
  ): Promise<Result | typeof contended> {
    return this.#mutex.run(keys, () => attempt(this.#scripts, keys, change));
  }

  protected override tryList(prefix: string, after: string, limit: number): Promise<readonly StoredDocument[]> {
    return list(this.#scripts, prefix, { after, limit });
  }

  protected override async closeDriver(): Promise<void> {}
}

/** Redis key of a document. */
export function documentKey(key: string): string {
  return `${documentPrefix}${key}`;
}

function defineScripts(connection: Redis): ScriptCommands {
  connection.defineCommand('lipsyncReadState', { lua: readStateScript, readOnly: true });
  connection.defineCommand('lipsyncWriteState', { lua: writeStateScript });
  connection.defineCommand('lipsyncListState', { numberOfKeys: 1, lua: listStateScript, readOnly: true });
  // `as`: defineCommand adds these methods at runtime, so ioredis' types lack them.
  return connection as unknown as ScriptCommands;
}

async function attempt<Result>(
  scripts: ScriptCommands,
  keys: readonly string[],
  change: (documents: Documents) => CheckedChange<Result>,
): Promise<Result | typeof contended> {
  const read = await guardRedis(() => scripts.lipsyncReadState(keys.length, ...keys.map(documentKey)));
  const { result, writes } = change(
    new Map(keys.map((key, index) => [key, parseDocument(read[3 * index + 1], read[3 * index + 2])])),
  );
  if (writes.size === 0) return result;
  const version = randomUUID();
  const actions = keys.flatMap((key, index) => [read[3 * index] ?? '', ...writeAction(writes.get(key)), key]);
  const keysToWrite = [`${markPrefix}${version}`, documentIndexKey, ...keys.map(documentKey)];
  const stored = await guardRedis(() =>
    scripts.lipsyncWriteState(
      keysToWrite.length,
      ...keysToWrite,
      version,
      documentFormat,
      String(markLifetimeMs),
      ...actions,
    ),
  );
  return stored === 1 ? result : contended;
}

function writeAction(document: Json | undefined): readonly [action: string, text: string] {
  if (document === undefined) return ['keep', ''];
  return document === null ? ['delete', ''] : ['set', JSON.stringify(document)];
}

async function list(
  scripts: ScriptCommands,
  prefix: string,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<readonly StoredDocument[]> {
  const start = after < prefix ? `[${prefix}` : `(${after}`;
  const end = `(${prefix}${afterAllCharacters}`;
  const answer = await guardRedis(() =>
    scripts.lipsyncListState(documentIndexKey, start, end, String(limit), documentPrefix),
  );
  const documents: StoredDocument[] = [];
  for (let offset = 0; offset < answer.length; offset += 3) {
    const document = parseDocument(answer[offset + 1], answer[offset + 2]);
    if (document !== undefined) documents.push({ key: answer[offset] ?? '', document });
  }
  return documents;
}

function parseDocument(format: Field, text: Field): Json | undefined {
  if (typeof text !== 'string') return undefined;
  if (format !== documentFormat) {
    throw new LipsyncError(
      'internal',
      'A document was stored by another version of this service. Start the version that stored it.',
    );
  }
  // `as`: this package writes all documents, as JSON.
  return JSON.parse(text) as Json;
}
