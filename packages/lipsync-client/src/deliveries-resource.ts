import type { DeliveryPage, DeliveryQuery, DeliveryView, ReceiverPage } from './contract.ts';
import type { CallOptions } from './jobs-resource.ts';
import { invalidResponse, type Transport } from './transport.ts';

/** Deliveries of webhooks. */
export class DeliveriesResource {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Returns a page of deliveries, newest first. */
  async list(query: DeliveryQuery = {}, { signal }: CallOptions = {}): Promise<DeliveryPage> {
    const page = await this.#transport.requestJson<DeliveryPage>({ path: '/webhooks/deliveries', query, signal });
    if (!Array.isArray(page?.deliveries)) throw invalidResponse('The response is no page of deliveries.');
    return page;
  }

  /** Returns a page of the receivers that are switched off because they answered 410. */
  async listSwitchedOff(
    query: Pick<DeliveryQuery, 'limit' | 'cursor'> = {},
    { signal }: CallOptions = {},
  ): Promise<ReceiverPage> {
    const page = await this.#transport.requestJson<ReceiverPage>({ path: '/webhooks/receivers', query, signal });
    if (!Array.isArray(page?.receivers)) throw invalidResponse('The response is no page of receivers.');
    return page;
  }

  /** Switches a receiver on. If this call is retried after a lost response, it throws the code `not_found`. */
  async switchOn(receiverId: string, { signal }: CallOptions = {}): Promise<void> {
    const path = `/webhooks/receivers/${encodeURIComponent(receiverId)}/switch-on`;
    await this.#transport.requestJson({ method: 'POST', path, signal });
  }

  /** Sends a message again. If this call is retried, the receiver may get the message more than once. */
  async replay(id: string, { signal }: CallOptions = {}): Promise<DeliveryView> {
    const path = `/webhooks/deliveries/${encodeURIComponent(id)}/replay`;
    const delivery = await this.#transport.requestJson<DeliveryView>({ method: 'POST', path, signal });
    if (typeof delivery?.id !== 'string') throw invalidResponse('The response is no delivery.');
    return delivery;
  }
}
