import { z } from 'zod';
import type { ZodOpenApiPathItemObject } from 'zod-openapi';
import { webhookMessageSchemas } from '@lipsync/core/contract';

const headers = z.object({
  'webhook-id': z.string().describe('Id of the message, the same for every try: ignore one that was processed.'),
  'webhook-timestamp': z
    .string()
    .describe('Seconds since 1970 when this try was sent. Refuse one that is more than five minutes off.'),
  'webhook-signature': z
    .string()
    .describe('`v1,` and the signature; two of them, separated by a space, while a secret is replaced.'),
});

/** The requests that the service sends to a `webhook_url`, for the reference. */
export function documentWebhooks(): Record<string, ZodOpenApiPathItemObject> {
  return Object.fromEntries(
    Object.entries(webhookMessageSchemas).map(([type, schema]) => {
      const [kind = '', outcome = ''] = type.split('.');
      return [type, { post: describeMessage({ type, kind, outcome, schema }) }];
    }),
  );
}

const progressText =
  ' Only for jobs with `webhook_progress`, at most every 30 s. Messages may arrive out of order, also after that of the end.';

interface Message {
  readonly type: string;
  readonly kind: string;
  readonly outcome: string;
  readonly schema: z.ZodType;
}

function describeMessage({ type, kind, outcome, schema }: Message) {
  const isProgress = outcome === 'progress';
  const subject = { lipsync: 'A lip-sync job', quality: 'A quality job', batch: 'A batch' }[kind] ?? kind;
  return {
    operationId: `on${[kind, outcome].map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')}`,
    tags: ['Webhooks'],
    summary: isProgress ? `${subject} makes progress` : `${subject} is ${outcome}`.replace('is failed', 'has failed'),
    description: `Sent to the \`webhook_url\` of the request as \`${type}\`, signed by Standard Webhooks. Answer 2xx within 15 s.${isProgress ? progressText : ''}`,
    requestParams: { header: headers },
    requestBody: { required: true, content: { 'application/json': { schema } } },
    responses: {
      200: {
        description: isProgress
          ? 'Delivered, as any 2xx. Everything else is not tried again.'
          : 'Delivered, as any 2xx. Everything else is tried again for about three days.',
      },
      410: { description: 'The receiver is switched off and gets no more messages.' },
    },
  };
}
