import type { RequestListener } from 'node:http';
import type { Readiness } from './readiness.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
  /** JSON by default. */
  readonly contentType?: string;
}

export interface ProbeListenerOptions {
  readonly readiness: Pick<Readiness, 'read'>;
  /** Metrics of the process. */
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
}

/**
 * Answers `GET /health`, `GET /ready` and `GET /metrics` of a process without an API. It does not authenticate callers,
 * so that answers contain no reasons and no names of parts; the log of the process has both.
 */
export function createProbeListener({ readiness, metrics }: ProbeListenerOptions): RequestListener {
  const pages = new Map<string, () => Promise<Answer>>([
    ['/health', async () => answerStatus(200, 'ok')],
    ['/ready', () => answerReadiness(readiness)],
    ['/metrics', async () => ({ status: 200, body: await metrics.metrics(), contentType: metrics.contentType })],
  ]);
  const answer = async (method = '', url = ''): Promise<Answer> => {
    const page = pages.get(url.split('?', 1)[0] ?? '');
    if (page === undefined) return answerStatus(404, 'not_found');
    return method === 'GET' || method === 'HEAD' ? page() : answerStatus(405, 'method_not_allowed');
  };
  return (request, response) => {
    // A body is neither expected nor stored.
    request.resume();
    answer(request.method, request.url).then(
      ({ status, body, contentType = 'application/json' }) =>
        response.writeHead(status, { 'Content-Type': contentType, 'Cache-Control': 'no-store' }).end(body),
      () => response.writeHead(500).end(),
    );
  };
}

async function answerReadiness(readiness: Pick<Readiness, 'read'>): Promise<Answer> {
  const isReady = (await readiness.read()).every(({ reason }) => reason === null);
  return isReady ? answerStatus(200, 'ready') : answerStatus(503, 'not_ready');
}

function answerStatus(status: number, text: string): Answer {
  return { status, body: JSON.stringify({ status: text }) };
}
