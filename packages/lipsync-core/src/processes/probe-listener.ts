import type { RequestListener } from 'node:http';
import type { Readiness } from './readiness.ts';

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface ProbeListenerOptions {
  readonly readiness: Pick<Readiness, 'read'>;
}

/**
 * Answers `GET /health` and `GET /ready` of a process without an API. It reads no keys, so that an answer has no reasons
 * and no names of parts; the log of the process has both.
 */
export function createProbeListener({ readiness }: ProbeListenerOptions): RequestListener {
  const pages = new Map<string, () => Promise<Answer>>([
    ['/health', async () => ({ status: 200, body: { status: 'ok' } })],
    ['/ready', () => answerReadiness(readiness)],
  ]);
  const answer = async (method = '', url = ''): Promise<Answer> => {
    const page = pages.get(url.split('?', 1)[0] ?? '');
    if (page === undefined) return { status: 404, body: { status: 'not_found' } };
    return method === 'GET' || method === 'HEAD' ? page() : { status: 405, body: { status: 'method_not_allowed' } };
  };
  return (request, response) => {
    // A body is neither expected nor stored.
    request.resume();
    answer(request.method, request.url).then(
      ({ status, body }) =>
        response
          .writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })
          .end(JSON.stringify(body)),
      () => response.writeHead(500).end(),
    );
  };
}

async function answerReadiness(readiness: Pick<Readiness, 'read'>): Promise<Answer> {
  const isReady = (await readiness.read()).every(({ reason }) => reason === null);
  return { status: isReady ? 200 : 503, body: { status: isReady ? 'ready' : 'not_ready' } };
}
