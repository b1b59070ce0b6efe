import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** Signs the messages to the receiver. */
export const webhookSecret = `whsec_${Buffer.alloc(32, 5).toString('base64')}`;

/** Refuses a third of the messages once, each in another way, and accepts everything else. */
export class WebhookReceiver {
  /** Ids of the accepted messages by job or batch. */
  readonly accepted = new Map<string, string[]>();
  requests = 0;
  refused = 0;
  wrongSignatures = 0;
  readonly #server = createServer((request, response) => void this.#receive(request, response));
  readonly #seen = new Set<string>();

  static async start(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver();
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get url(): string {
    // `as`: the address of a TCP server is an object.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request).catch(() => undefined);
    // The sender was killed.
    if (body === undefined) return;
    this.requests += 1;
    const id = String(request.headers['webhook-id']);
    if (!isSigned(request, body)) this.wrongSignatures += 1;
    const isFirst = !this.#seen.has(id);
    this.#seen.add(id);
    if (isFirst && this.#seen.size % 3 === 0) {
      this.refused += 1;
      if (this.refused % 3 === 0) response.writeHead(500).end();
      else if (this.refused % 3 === 1) response.writeHead(302, { location: this.url }).end();
      // Else the sender waits until its time limit.
      return;
    }
    // `as`: the signature shows that the service sent the message.
    const { data } = JSON.parse(body) as { data: { id: string } };
    this.accepted.set(data.id, [...(this.accepted.get(data.id) ?? []), id]);
    response.writeHead(204).end();
  }
}

function isSigned({ headers }: IncomingMessage, body: string): boolean {
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
  const key = Buffer.from(webhookSecret.slice('whsec_'.length), 'base64');
  return headers['webhook-signature'] === `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
}
