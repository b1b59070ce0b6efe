export type { BatchesResource, BatchUpdate } from './batches-resource.ts';
export { LipsyncClient } from './client.ts';
export type { DeliveriesResource } from './deliveries-resource.ts';
export type {
  BatchPage,
  BatchRequest,
  BatchSummary,
  BatchView,
  CostsQuery,
  CostsView,
  DeliveryPage,
  DeliveryQuery,
  DeliveryView,
  EstimateRequest,
  EstimateView,
  Input,
  JobStatus,
  JobView,
  LipsyncRequest,
  ListQuery,
  OriginView,
  Page,
  ProblemView,
  ProvidersView,
  QualityJobView,
  QualityRequest,
  QualityView,
  ReceiverPage,
  WebhookMessageData,
  WebhookMessageType,
} from './contract.ts';
export type { Download } from './download.ts';
export { LipsyncApiError, LipsyncClientError, LipsyncConnectionError, LipsyncJobError } from './errors.ts';
export {
  JobsResource,
  type CallOptions,
  type CreateOptions,
  type JobUpdate,
  type WaitOptions,
} from './jobs-resource.ts';
export type { ClientOptions } from './transport.ts';
