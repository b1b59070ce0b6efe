import fc from 'fast-check';
import type { ApiDocument, NamedOperation } from './answer-checker.ts';

/** A request that was generated from the document. */
export interface GeneratedRequest {
  readonly operation: NamedOperation;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: GeneratedBody;
}

type GeneratedBody =
  | { readonly type: 'none' }
  | { readonly type: 'text'; readonly mediaType: string; readonly text: string }
  | { readonly type: 'form'; readonly fields: readonly (readonly [string, unknown])[] };

/** The parts of JSON Schema that the document uses. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly format?: string;
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
}

/** Stands for the content of a file in a form. */
export const fileMark = Symbol('file');

const strange: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom<unknown>(
    null,
    -1,
    0,
    1e308,
    2 ** 53,
    '',
    '\u0000',
    '__proto__',
    '../../etc/passwd',
    'a'.repeat(5_000),
  ),
  fc.constantFrom<unknown>([], {}, [[]], { __proto__x: 1 }, true, 'NaN', '1e999', '\u202e', '\ud83d\ude00', '%00'),
);
const addresses = fc.constantFrom(
  'http://127.0.0.1/x',
  'file:///etc/passwd',
  'http://[::1]/x',
  'ftp://example.org/x',
  'http://169.254.169.254/latest',
  'https://',
  'not a url',
  'https://user:pass@10.0.0.1/x',
);

/** Requests for all operations: mostly valid values with strange ones among them. `ids` are those of existing things. */
export function requestArbitrary(
  document: ApiDocument,
  operations: readonly NamedOperation[],
  ids: readonly string[],
): fc.Arbitrary<GeneratedRequest> {
  const builder = new RequestBuilder(document, ids);
  return fc.oneof(...operations.map((operation) => builder.requestOf(operation)));
}

class RequestBuilder {
  readonly #document: ApiDocument;
  readonly #id: fc.Arbitrary<string>;

  constructor(document: ApiDocument, ids: readonly string[]) {
    this.#document = document;
    const unusual = fc.string({ minLength: 1, maxLength: 300, unit: 'grapheme' }).filter((id) => !/^\.+$/.test(id));
    this.#id = fc.oneof(
      fc.constantFrom('unknown', ...ids),
      unusual.map(encodeURIComponent),
      fc.constantFrom('%zz', '%00', '..%2f..%2fx', 'x'.repeat(2_000)),
    );
  }

  requestOf(operation: NamedOperation): fc.Arbitrary<GeneratedRequest> {
    const { path, parameters = [], requestBody } = operation;
    const ofPlace = (place: string) => parameters.filter((parameter) => parameter.in === place);
    const query = fc.record(
      Object.fromEntries(
        ofPlace('query').map(({ name, schema }) => [name, this.#mixed(this.#valueOf(schema as Schema))]),
      ),
      { requiredKeys: [] },
    );
    const header = fc.record(
      Object.fromEntries(
        ofPlace('header').map(({ name, schema }) => [name, fc.oneof(this.#valueOf(schema as Schema), headerText)]),
      ),
      { requiredKeys: [] },
    );
    const pathIds = fc.array(this.#id, { minLength: 3, maxLength: 3 });
    const body = requestBody ? this.#bodyOf(requestBody.content) : fc.constant<GeneratedBody>({ type: 'none' });
    return fc.record({ query, header, pathIds, body }).map((parts) => {
      let next = 0;
      const filled = path.replace(/\{\w+\}/g, () => parts.pathIds[next++] ?? 'unknown');
      const search = new URLSearchParams(
        Object.entries(parts.query).map(([name, value]): [string, string] => [name, asText(value)]),
      ).toString();
      const headers = Object.entries(parts.header).map(([name, value]) => [name, asText(value).replace(/[^ -~]/g, '')]);
      return {
        operation,
        target: `${filled}${search === '' ? '' : `?${search}`}`,
        headers: Object.fromEntries(headers),
        body: parts.body,
      };
    });
  }

  #bodyOf(content: Readonly<Record<string, { readonly schema: unknown }>>): fc.Arbitrary<GeneratedBody> {
    const choices = Object.entries(content).flatMap(([mediaType, { schema }]) => {
      const value = this.#mixed(this.#valueOf(schema as Schema));
      if (mediaType === 'multipart/form-data') return [value.map(toForm), value.map(toForm)];
      const text = value.map((inner) =>
        JSON.stringify(inner, (_key, item: unknown) => (item === fileMark ? 'x' : item)),
      );
      const cut = fc.tuple(text, fc.nat(200)).map(([whole, length]) => whole.slice(0, length));
      return [text, text, text, cut].map((texts) =>
        texts.map((body): GeneratedBody => ({ type: 'text', mediaType, text: body })),
      );
    });
    const wrong = fc
      .tuple(
        fc.constantFrom('text/plain', 'application/xml', 'application/json; charset=x', 'multipart/form-data'),
        fc.string(),
      )
      .map(([mediaType, text]): GeneratedBody => ({ type: 'text', mediaType, text }));
    return fc.oneof(...choices, wrong);
  }

  /** A valid value, or with a lower weight any other one. */
  #mixed(valid: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
    return fc.oneof({ weight: 9, arbitrary: valid }, { weight: 1, arbitrary: strange });
  }

  #valueOf(schema: Schema): fc.Arbitrary<unknown> {
    if (schema.$ref !== undefined) return this.#valueOf(this.#resolve(schema.$ref));
    if (schema.enum) return fc.constantFrom(...schema.enum);
    if ('const' in schema) return fc.constant(schema.const);
    if (schema.anyOf) return fc.oneof(...schema.anyOf.map((inner) => this.#valueOf(inner)));
    switch (schema.type) {
      case 'object':
        return this.#objectOf(schema);
      case 'array':
        return fc.array(this.#mixed(this.#valueOf(schema.items ?? {})), { minLength: 1, maxLength: 3 });
      case 'integer':
        return fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 1_000, 2 ** 31) });
      case 'number':
        return fc.double({ min: schema.minimum ?? 0, max: schema.maximum ?? 1_000, noNaN: true });
      case 'boolean':
        return fc.boolean();
      case 'string':
        return this.#textOf(schema);
      default:
        return strange;
    }
  }

  #textOf({ format, examples, maxLength = 60 }: Schema): fc.Arbitrary<unknown> {
    if (format === 'binary') return fc.constant(fileMark);
    if (format === 'uri') return addresses;
    if (format === 'date') return fc.constantFrom('2026-11-01', '2026-11-30', '2026-02-30', '0000-00-00');
    if (format === 'date-time') return fc.constantFrom('2026-11-01T00:00:00Z', '2026-11-30T10:00:00+02:00', '2026');
    const text = fc.string({ minLength: 1, maxLength: Math.min(maxLength, 60), unit: 'grapheme' });
    return examples ? fc.oneof(fc.constantFrom(...examples), text) : text;
  }

  #objectOf({ properties = {}, required = [] }: Schema): fc.Arbitrary<unknown> {
    const known = fc.record(
      Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, this.#mixed(this.#valueOf(inner))])),
      { requiredKeys: [...required] },
    );
    // Many optional fields at once would make nearly every request invalid.
    const some = fc.tuple(known, fc.nat(4)).map(([value, count]) => {
      const optional = Object.keys(value).filter((name) => !required.includes(name));
      const kept = new Set([...required, ...optional.slice(0, count)]);
      return Object.fromEntries(Object.entries(value).filter(([name]) => kept.has(name)));
    });
    const unknown = fc.tuple(some, fc.string(), strange).map(([value, name, more]) => ({ ...value, [name]: more }));
    return fc.oneof({ weight: 12, arbitrary: some }, { weight: 1, arbitrary: unknown });
  }

  #resolve(reference: string): Schema {
    const names = reference.replace('#/', '').split('/');
    return names.reduce<unknown>((value, name) => (value as Record<string, unknown>)[name], this.#document) as Schema;
  }
}

const headerText = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.constantFrom('', 'bytes=0-0', 'bytes=5-1', 'bytes=-1', 'bytes=0-,1-2', '"quoted key"', '99999999999999999999'),
);

function toForm(value: unknown): GeneratedBody {
  const fields = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  return { type: 'form', fields };
}

export function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}
