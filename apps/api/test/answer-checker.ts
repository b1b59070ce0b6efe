import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

interface MediaType {
  readonly schema: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

export interface DocumentedOperation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: unknown }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, MediaType>> };
  readonly responses: Readonly<
    Record<
      string,
      { readonly content?: Readonly<Record<string, MediaType>>; readonly 'x-problem-codes'?: readonly string[] }
    >
  >;
}

/** The parts of `/openapi.json` that tests read. */
export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentedOperation>>>>;
}

export interface NamedOperation extends DocumentedOperation {
  readonly method: string;
  readonly path: string;
}

/** Every operation of a document. */
export function operationsOf({ paths }: ApiDocument): readonly NamedOperation[] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ ...operation, method, path })),
  );
}

/** Compares answers and examples with an OpenAPI document. */
export class AnswerChecker {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #compiled = new Map<string, ValidateFunction>();

  constructor(document: ApiDocument) {
    addFormats.default(this.#ajv);
    this.#ajv.addSchema({ ...document }, 'api');
  }

  /** What is wrong with a value; undefined if it fits the schema at the path of names in the document. */
  findMismatch(pointer: readonly string[], value: unknown): string | undefined {
    const reference = `api#/${pointer.map(escape).join('/')}`;
    const validate = this.#compiled.get(reference) ?? this.#ajv.compile({ $ref: reference });
    this.#compiled.set(reference, validate);
    return validate(value) ? undefined : this.#ajv.errorsText(validate.errors);
  }

  /** What is undocumented in an answer; undefined if status, media type and body are documented. */
  async findUndocumented(operation: NamedOperation, answer: Response): Promise<string | undefined> {
    const { method, path, responses } = operation;
    const documented = responses[answer.status];
    const mediaType = answer.headers.get('Content-Type')?.replace(/;.*$/, '');
    const text = await answer.text();
    if (documented === undefined) return `undocumented status ${answer.status}: ${text.slice(0, 300)}`;
    if (documented.content === undefined) return text === '' ? undefined : `undocumented body: ${text.slice(0, 300)}`;
    if (mediaType === undefined || documented.content[mediaType] === undefined)
      return `undocumented media type ${mediaType}`;
    if (!mediaType.endsWith('json')) return undefined;
    const body: unknown = JSON.parse(text);
    const pointer = ['paths', path, method, 'responses', String(answer.status), 'content', mediaType, 'schema'];
    return (
      this.findMismatch(pointer, body) ??
      (mediaType === 'application/problem+json' ? findUndocumentedCode(documented, body) : undefined)
    );
  }
}

function findUndocumentedCode(
  { 'x-problem-codes': codes }: DocumentedOperation['responses'][string],
  body: unknown,
): string | undefined {
  if (codes === undefined) return undefined;
  const code = typeof body === 'object' && body !== null && 'code' in body ? String(body.code) : '';
  return codes.includes(code) ? undefined : `undocumented code ${code} among ${codes.join(', ')}`;
}

/** A part of a JSON pointer in a URI fragment. */
function escape(name: string): string {
  return encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'));
}
