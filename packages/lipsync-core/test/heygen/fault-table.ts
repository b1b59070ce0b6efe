import type { FaultRuleInput, StandinControl } from '@lipsync/heygen-standin';
import type { ErrorCode } from '../../src/errors/index.ts';

/** The required result of a job with a fault. */
export interface FaultResult {
  /** The provider of the take; null if the job must fail. */
  readonly made: 'heygen' | 'preview' | null;
  /** Error code of the HeyGen attempt; null if it succeeds. */
  readonly code: ErrorCode | null;
  /**
   * When HeyGen charges: never, during the job, or after the job has continued without HeyGen. `unknown` also charges
   * nothing, but that is certain only when the operation has not been found for ten minutes.
   */
  readonly paid: 'nothing' | 'in the job' | 'later' | 'unknown';
}

/** One failure of HeyGen. */
export interface FaultCase extends FaultResult {
  readonly name: string;
  /** The attempt ends only with its time limit, which should be short. */
  readonly waitsForTimeout: boolean;
  /** Scripts the fault. `slowMs` is the delay of slow responses. */
  script(control: StandinControl, options: { readonly slowMs: number }): void;
}

type Fault = FaultRuleInput['fault'];
type Route = FaultRuleInput['match']['route'];

const succeeds: FaultResult = { made: 'heygen', code: null, paid: 'in the job' };
const failsJob = (code: ErrorCode): FaultResult => ({ made: null, code, paid: 'nothing' });
const fallsBack = (code: ErrorCode): FaultResult => ({ made: 'preview', code, paid: 'nothing' });
const paysAndFallsBack = (code: ErrorCode): FaultResult => ({ made: 'preview', code, paid: 'in the job' });
/** HeyGen never states whether it started an operation. */
const fallsBackUnacknowledged = (code: ErrorCode): FaultResult => ({ made: 'preview', code, paid: 'unknown' });
/** The operation continues without the job and is found completed later. */
const paysLater = (code: ErrorCode): FaultResult => ({ made: 'preview', code, paid: 'later' });

function on(name: string, route: Route, fault: Fault, end: FaultResult, times: FaultRuleInput['times'] = 1): FaultCase {
  return {
    ...end,
    name,
    waitsForTimeout: false,
    script: (control) => control.addFaults({ match: { route }, fault, times }),
  };
}

function untilTimeout(faultCase: FaultCase): FaultCase {
  return { ...faultCase, waitsForTimeout: true };
}

function withSettings(
  name: string,
  changes: Parameters<StandinControl['changeSettings']>[0],
  end: FaultResult,
): FaultCase {
  return { ...end, name, waitsForTimeout: false, script: (control) => control.changeSettings(changes) };
}

function refused(status: number, code: string, end: FaultResult, times: FaultRuleInput['times'] = 1): FaultCase {
  return on(
    `${status} ${code}${times === 1 ? '' : ', permanently'}`,
    'create',
    { kind: 'error', status, code, retryAfterS: 1 },
    end,
    times,
  );
}

/** Refused create requests, by HTTP status and error code. */
const refusals: readonly FaultCase[] = [
  refused(400, 'invalid_parameter', fallsBack('provider_protocol')),
  refused(400, 'download_failed', fallsBack('provider_failed')),
  refused(400, 'content_policy_violation', failsJob('content_refused')),
  refused(400, 'resource_limit_reached', fallsBack('provider_balance_exhausted')),
  refused(400, 'resource_limit_exceeded', fallsBack('provider_balance_exhausted')),
  refused(401, 'unauthorized', fallsBack('credentials_rejected')),
  refused(401, 'authentication_failed', fallsBack('credentials_rejected')),
  refused(402, 'insufficient_credit', fallsBack('provider_balance_exhausted')),
  {
    ...fallsBack('provider_balance_exhausted'),
    name: '402, insufficient balance',
    waitsForTimeout: false,
    script: (control) => control.setBalance(10),
  },
  refused(402, 'trial_limit_exceeded', fallsBack('provider_balance_exhausted')),
  refused(402, 'plan_upgrade_required', fallsBack('provider_balance_exhausted')),
  refused(403, 'forbidden', fallsBack('credentials_rejected')),
  refused(403, 'resource_access_denied', fallsBack('credentials_rejected')),
  refused(403, 'ai_vendor_access_restricted', fallsBack('credentials_rejected')),
  refused(404, 'resource_not_found', fallsBack('provider_protocol')),
  refused(404, 'not_found', fallsBack('provider_protocol')),
  refused(404, 'asset_not_found', fallsBack('provider_protocol')),
  refused(409, 'request_in_progress', succeeds),
  refused(409, 'resource_not_ready', succeeds),
  refused(409, 'conflict', fallsBackUnacknowledged('provider_protocol')),
  refused(409, 'asset_not_available', succeeds),
  refused(413, 'payload_too_large', fallsBack('not_supported')),
  refused(429, 'rate_limit_exceeded', succeeds),
  untilTimeout(refused(429, 'rate_limit_exceeded', fallsBack('rate_limited'), 'always')),
  refused(429, 'quota_exceeded', fallsBack('provider_balance_exhausted')),
  refused(500, 'internal_error', succeeds),
  refused(500, 'internal_error', fallsBackUnacknowledged('provider_unavailable'), 'always'),
  refused(502, 'service_unavailable', succeeds),
  refused(503, 'service_unavailable', succeeds),
  refused(504, 'gateway_timeout', succeeds),
];

/** Failures of accepted operations. */
const failures: readonly FaultCase[] = [
  on('failed: audio missing', 'create', { kind: 'fail', reason: 'audio_missing' }, fallsBack('not_supported')),
  on('failed: video download', 'create', { kind: 'fail', reason: 'download_failed' }, fallsBack('provider_failed')),
  on(
    'failed: different durations',
    'create',
    { kind: 'fail', reason: 'duration_mismatch' },
    fallsBack('not_supported'),
  ),
  on('failed: no face', 'create', { kind: 'fail', reason: 'no_face' }, fallsBack('not_supported')),
  on(
    'failed: content policy',
    'create',
    { kind: 'fail', message: 'Removed by content moderation' },
    failsJob('content_refused'),
  ),
  on(
    'failed: unknown message',
    'create',
    { kind: 'fail', message: 'An unknown failure' },
    fallsBack('provider_failed'),
  ),
];

const pages = ([500, 502, 503, 504] as const).map((status) =>
  on(`create: gateway page ${status}`, 'create', { kind: 'html', status }, succeeds),
);

/** Faults of uploads and create requests. */
const creates: readonly FaultCase[] = [
  on('no fault', 'get', { kind: 'delay', delayMs: 0 }, succeeds),
  withSettings('no fault, missing values are null', { emptyFields: 'null' }, succeeds),
  withSettings('no fault, missing values are absent', { emptyFields: 'absent' }, succeeds),
  on(
    'upload: rejected key',
    'upload',
    { kind: 'error', status: 401, code: 'unauthorized' },
    fallsBack('credentials_rejected'),
    'always',
  ),
  on('upload: connection cut', 'upload', { kind: 'drop' }, succeeds),
  on(
    'upload: permanent 503',
    'upload',
    { kind: 'error', status: 503, code: 'service_unavailable' },
    fallsBack('provider_unavailable'),
    'always',
  ),
  withSettings(
    'upload: too large, 413',
    { simpleUploadMaxBytes: 1_000, oversizeStatus: 413 },
    fallsBack('not_supported'),
  ),
  withSettings(
    'upload: too large, 400',
    { simpleUploadMaxBytes: 1_000, oversizeStatus: 400 },
    fallsBack('provider_protocol'),
  ),
  {
    ...succeeds,
    name: 'create: slow response',
    waitsForTimeout: false,
    script: (control, { slowMs }) =>
      control.addFaults({ match: { route: 'create' }, fault: { kind: 'delay', delayMs: slowMs } }),
  },
  on('create: accepted, connection cut', 'create', { kind: 'drop', accepted: true }, succeeds),
  on('create: connection cut', 'create', { kind: 'drop' }, succeeds),
  on('create: accepted, gateway page', 'create', { kind: 'html', status: 502, accepted: true }, succeeds),
  ...pages,
  on('create: empty body, 502', 'create', { kind: 'empty', status: 502 }, succeeds),
  on('create: error with status 200', 'create', { kind: 'error_in_200' }, succeeds),
  on('create: broken JSON', 'create', { kind: 'not_json' }, fallsBackUnacknowledged('provider_protocol')),
];

/** Faults of status checks. */
const polls: readonly FaultCase[] = [
  on('poll: unknown status', 'get', { kind: 'status_word', word: 'polishing' }, succeeds),
  on('poll: gateway page, three times', 'get', { kind: 'html', status: 502 }, succeeds, 3),
  on('poll: connection cut, twice', 'get', { kind: 'drop' }, succeeds, 2),
  untilTimeout(
    on(
      'poll: permanent 503',
      'get',
      { kind: 'error', status: 503, code: 'service_unavailable' },
      paysLater('provider_unavailable'),
      'always',
    ),
  ),
  on(
    'poll: 401, revoked key',
    'get',
    { kind: 'error', status: 401, code: 'unauthorized' },
    paysLater('credentials_rejected'),
    'always',
  ),
  on('poll: 429', 'get', { kind: 'error', status: 429, code: 'rate_limit_exceeded', retryAfterS: 1 }, succeeds),
  on('poll: 404 for a known id, twice', 'get', { kind: 'error', status: 404, code: 'resource_not_found' }, succeeds, 2),
  untilTimeout(
    on(
      'poll: permanent 404 for a known id',
      'get',
      { kind: 'error', status: 404, code: 'resource_not_found' },
      paysLater('provider_unavailable'),
      'always',
    ),
  ),
  on('poll: completed without a link, three times', 'get', { kind: 'no_video_url' }, succeeds, 3),
  untilTimeout(
    on(
      'poll: permanently completed without a link',
      'get',
      { kind: 'no_video_url' },
      paysAndFallsBack('provider_timeout'),
      'always',
    ),
  ),
  on('poll: completed without a duration', 'get', { kind: 'no_duration' }, succeeds, 'always'),
  untilTimeout(
    on('stuck while pending', 'create', { kind: 'stick', status: 'pending' }, paysLater('provider_timeout')),
  ),
  untilTimeout(
    on('stuck while running', 'create', { kind: 'stick', status: 'running' }, paysLater('provider_timeout')),
  ),
];

/** Faults of downloads. */
const downloads: readonly FaultCase[] = [
  on('truncated once', 'download', { kind: 'truncate' }, succeeds),
  untilTimeout(
    on('always truncated', 'download', { kind: 'truncate' }, paysAndFallsBack('provider_unavailable'), 'always'),
  ),
  on('server error for a while', 'download', { kind: 'html', status: 503 }, succeeds, 7),
  on(
    'truncated with a matching length',
    'download',
    { kind: 'truncate', announceWhole: false },
    paysAndFallsBack('provider_protocol'),
    'always',
  ),
  on('wrong content type', 'download', { kind: 'content_type' }, paysAndFallsBack('provider_protocol'), 'always'),
  on(
    'redirect to a private address',
    'download',
    { kind: 'redirect', location: 'http://10.0.0.1/video.mp4' },
    paysAndFallsBack('provider_protocol'),
    'always',
  ),
  on(
    'redirect to this machine',
    'download',
    { kind: 'redirect', location: 'http://127.0.0.1:1/video.mp4' },
    paysAndFallsBack('provider_protocol'),
    'always',
  ),
  on(
    'link to a private address',
    'get',
    { kind: 'video_url', url: 'http://169.254.169.254/video.mp4' },
    paysAndFallsBack('provider_protocol'),
    'always',
  ),
  on(
    'link to a file',
    'get',
    { kind: 'video_url', url: 'file:///etc/passwd' },
    paysAndFallsBack('provider_protocol'),
    'always',
  ),
  on('unplayable', 'download', { kind: 'unplayable' }, paysAndFallsBack('provider_protocol'), 'always'),
  on('expired once', 'download', { kind: 'expired' }, succeeds),
  untilTimeout(
    on('always expired', 'download', { kind: 'expired' }, paysAndFallsBack('provider_unavailable'), 'always'),
  ),
  untilTimeout(
    withSettings(
      'link that expires after a millisecond',
      { linkLifetimeMs: 1 },
      paysAndFallsBack('provider_unavailable'),
    ),
  ),
  on('connection cut', 'download', { kind: 'drop' }, succeeds),
];

/** All known faults of HeyGen and the required result of a job. */
export const faultTable: ReadonlyMap<string, readonly FaultCase[]> = new Map([
  ['refused creates', refusals],
  ['failed operations', failures],
  ['uploads and creates', creates],
  ['polls', polls],
  ['downloads', downloads],
]);
