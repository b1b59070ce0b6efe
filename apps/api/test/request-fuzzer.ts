import fc from 'fast-check';
import { AnswerChecker, operationsOf, type ApiDocument } from './answer-checker.ts';
import { asText, fileMark, requestArbitrary, type GeneratedRequest } from './request-arbitrary.ts';

export interface FuzzOptions {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly document: ApiDocument;
  /** Ids of existing jobs and batches. */
  readonly ids: readonly string[];
  readonly count: number;
  readonly seed: number;
  /** Content of the files of forms. */
  readonly file: Uint8Array<ArrayBuffer>;
  readonly onAnswer?: (sent: number) => void;
}

export interface FuzzReport {
  readonly sent: number;
  readonly byStatus: ReadonlyMap<number, number>;
  /** Requests with an undocumented answer, with 500, or without an answer. */
  readonly problems: readonly string[];
}

const parallel = 8;
const answerLimitMs = 30_000;

/** Sends generated requests and compares every answer with the document. The same seed generates the same requests. */
export async function fuzzApi(options: FuzzOptions): Promise<FuzzReport> {
  const { document, ids, count, seed, onAnswer } = options;
  const checker = new AnswerChecker(document);
  const requests = fc.sample(requestArbitrary(document, operationsOf(document), ids), { numRuns: count, seed });
  const byStatus = new Map<number, number>();
  const problems: string[] = [];
  let sent = 0;
  const work = async (): Promise<void> => {
    for (let request = requests.pop(); request !== undefined; request = requests.pop()) {
      const outcome = await send(request, options, checker);
      byStatus.set(outcome.status, (byStatus.get(outcome.status) ?? 0) + 1);
      if (outcome.problem !== undefined) problems.push(`${describe(request)}: ${outcome.problem}`);
      sent += 1;
      onAnswer?.(sent);
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  return { sent, byStatus, problems };
}

interface Outcome {
  readonly status: number;
  readonly problem: string | undefined;
}

async function send(request: GeneratedRequest, options: FuzzOptions, checker: AnswerChecker): Promise<Outcome> {
  const { operation, target, headers, body } = request;
  const gone = new AbortController();
  const limit = setTimeout(() => gone.abort(), answerLimitMs);
  try {
    const response = await fetch(`${options.url}${target}`, {
      method: operation.method.toUpperCase(),
      redirect: 'manual',
      headers: { ...headers, ...options.headers, ...(body.type === 'text' && { 'Content-Type': body.mediaType }) },
      ...(body.type === 'text' && { body: body.text }),
      ...(body.type === 'form' && { body: toFormData(body.fields, options.file) }),
      signal: gone.signal,
    });
    const { status } = response;
    if (response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
      gone.abort();
      return { status, problem: undefined };
    }
    const problem = await checker.findUndocumented(operation, response);
    return { status, problem: problem ?? (status === 500 ? 'internal' : undefined) };
  } catch (error) {
    return { status: 0, problem: `no answer: ${String(error)} ${String(error instanceof Error ? error.cause : '')}` };
  } finally {
    clearTimeout(limit);
  }
}

function toFormData(fields: readonly (readonly [string, unknown])[], file: Uint8Array<ArrayBuffer>): FormData {
  const form = new FormData();
  for (const [name, value] of fields) {
    if (value === fileMark) form.append(name, new Blob([file]), `${name}.mp4`);
    else form.append(name, asText(value));
  }
  return form;
}

function describe({ operation, target, headers, body }: GeneratedRequest): string {
  const content = body.type === 'text' ? body.text : body.type === 'form' ? JSON.stringify(body.fields) : '';
  return `${operation.method} ${target} ${JSON.stringify(headers)} ${content.slice(0, 400)}`;
}
