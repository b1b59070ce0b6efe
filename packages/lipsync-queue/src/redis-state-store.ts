import { randomUUID } from 'node:crypto';
import {
  BaseStateStore,
  contended,
  LipsyncError,
  type CheckedChange,
  type ContentionLimits,
  type Documents,
  type Json,
  type StateStore,
  type StoredDocument,
} from '@lipsync/core';
import type { Redis } from 'ioredis';
import { toRedisError } from './connection.ts';
import { listStateScript, readStateScript, writeStateScript } from './state-scripts.ts';
import { createKeyedMutex } from './keyed-mutex.ts';

/** Increase when a stored document can no longer be read by this version. */
const documentFormat = '1';
const documentPrefix = 'lipsync:state:';
const indexKey = 'lipsync:state-keys';
const markPrefix = 'lipsync:state-written:';

/** Longer than the client goes on sending one command. */
const markLifeMs = 60_000;
const maxTurnWaitMs = 10_000;

/** Behind every printable ASCII character: what begins with a prefix comes before the prefix and this. */
const behindAllCharacters = '\u007F';

type Field = string | null | undefined;

/** The scripts as `defineCommand` adds them to the connection; those without a number of keys take it first. */
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
 * Documents in Redis. A transaction reads them in one step and writes them in another that does nothing when somebody
 * else wrote meanwhile. Transactions of this process on the same document take turns, so that only processes contend.
 * The caller keeps and ends the connection, also after `close`.
 */
export function createRedisStateStore(options: RedisStateStoreOptions): StateStore {
  return new RedisStateStore(options);
}

class RedisStateStore extends BaseStateStore {
  readonly #scripts: ScriptCommands;
  readonly #inTurn = createKeyedMutex(maxTurnWaitMs);

  constructor({ connection, contention }: RedisStateStoreOptions) {
    super(contention);
    this.#scripts = defineScripts(connection);
  }

  protected override tryTransact<Result>(
    keys: readonly string[],
    change: (documents: Documents) => CheckedChange<Result>,
  ): Promise<Result | typeof contended> {
    return this.#inTurn(keys, () => attempt(this.#scripts, keys, change));
  }

  protected override tryList(prefix: string, after: string, limit: number): Promise<readonly StoredDocument[]> {
    return list(this.#scripts, prefix, after, limit);
  }

  protected override async closeDriver(): Promise<void> {}
}

function defineScripts(connection: Redis): ScriptCommands {
  connection.defineCommand('lipsyncReadState', { lua: readStateScript, readOnly: true });
  connection.defineCommand('lipsyncWriteState', { lua: writeStateScript });
  connection.defineCommand('lipsyncListState', { numberOfKeys: 1, lua: listStateScript, readOnly: true });
  // `as`: defineCommand has just added these methods, which ioredis' types cannot know.
  return connection as unknown as ScriptCommands;
}

async function attempt<Result>(
  scripts: ScriptCommands,
  keys: readonly string[],
  change: (documents: Documents) => CheckedChange<Result>,
): Promise<Result | typeof contended> {
  const read = await guarded(scripts.lipsyncReadState(keys.length, ...keys.map(documentKey)));
  const { result, writes } = change(
    new Map(keys.map((key, index) => [key, parseDocument(read[3 * index + 1], read[3 * index + 2])])),
  );
  if (writes.size === 0) return result;
  const version = randomUUID();
  const stored = await guarded(
    scripts.lipsyncWriteState(
      keys.length + 2,
      `${markPrefix}${version}`,
      indexKey,
      ...keys.map(documentKey),
      version,
      documentFormat,
      String(markLifeMs),
      ...keys.flatMap((key, index) => [read[3 * index] ?? '', ...actionOn(writes.get(key)), key]),
    ),
  );
  return stored === 1 ? result : contended;
}

function actionOn(document: Json | undefined): readonly [action: string, text: string] {
  if (document === undefined) return ['keep', ''];
  return document === null ? ['delete', ''] : ['set', JSON.stringify(document)];
}

async function list(
  scripts: ScriptCommands,
  prefix: string,
  after: string,
  limit: number,
): Promise<readonly StoredDocument[]> {
  const start = after < prefix ? `[${prefix}` : `(${after}`;
  const answer = await guarded(
    scripts.lipsyncListState(indexKey, start, `(${prefix}${behindAllCharacters}`, String(limit), documentPrefix),
  );
  const documents: StoredDocument[] = [];
  for (let offset = 0; offset < answer.length; offset += 3) {
    const document = parseDocument(answer[offset + 1], answer[offset + 2]);
    if (document !== undefined) documents.push({ key: answer[offset] ?? '', document });
  }
  return documents;
}

function documentKey(key: string): string {
  return `${documentPrefix}${key}`;
}

function parseDocument(format: Field, text: Field): Json | undefined {
  if (typeof text !== 'string') return undefined;
  if (format !== documentFormat) {
    throw new LipsyncError(
      'internal',
      'A document was stored by another version of this service. Start the version that stored it.',
    );
  }
  // `as`: only this file writes documents, as JSON.
  return JSON.parse(text) as Json;
}

async function guarded<Result>(reply: Promise<Result>): Promise<Result> {
  try {
    return await reply;
  } catch (error) {
    throw toRedisError(error);
  }
}
