import type { FaultRuleInput, StandinControl } from '@lipsync/heygen-standin';
import type { ErrorCode } from '../../src/errors/index.ts';

/** What a job must make of a fault. */
export interface FaultEnd {
  /** Who makes the take; null where the job must fail. */
  readonly made: 'heygen' | 'preview' | null;
  /** What the attempt at HeyGen ends with; null where it succeeds. */
  readonly code: ErrorCode | null;
  /**
   * Whether HeyGen is paid: not at all, as the job says, or after the job has gone on, which only the ledger can say;
   * *in doubt*, nothing is paid either, but that is known only once the order is not found for a while.
   */
  readonly paid: 'nothing' | 'in the job' | 'later' | 'in doubt';
}

/** One way in which HeyGen misbehaves. */
export interface FaultCase extends FaultEnd {
  readonly name: string;
  /** The attempt goes on until its time is up; give it little. */
  readonly isPatient: boolean;
  /** `slowMs`: how long HeyGen takes where the fault is that it is slow. */
  script(control: StandinControl, pace: { readonly slowMs: number }): void;
}

type Fault = FaultRuleInput['fault'];
type Route = FaultRuleInput['match']['route'];

const succeeds: FaultEnd = { made: 'heygen', code: null, paid: 'in the job' };
const refusesJob = (code: ErrorCode): FaultEnd => ({ made: null, code, paid: 'nothing' });
const goesOn = (code: ErrorCode): FaultEnd => ({ made: 'preview', code, paid: 'nothing' });
const paysAndGoesOn = (code: ErrorCode): FaultEnd => ({ made: 'preview', code, paid: 'in the job' });
/** Whether the order was taken is never said. */
const goesOnInDoubt = (code: ErrorCode): FaultEnd => ({ made: 'preview', code, paid: 'in doubt' });
/** The operation is left to itself and found completed when it is asked for again. */
const paysLater = (code: ErrorCode): FaultEnd => ({ made: 'preview', code, paid: 'later' });

function on(name: string, route: Route, fault: Fault, end: FaultEnd, times: FaultRuleInput['times'] = 1): FaultCase {
  return { ...end, name, isPatient: false, script: (control) => control.addFaults({ match: { route }, fault, times }) };
}

function patiently(faultCase: FaultCase): FaultCase {
  return { ...faultCase, isPatient: true };
}

function withSettings(
  name: string,
  changes: Parameters<StandinControl['changeSettings']>[0],
  end: FaultEnd,
): FaultCase {
  return { ...end, name, isPatient: false, script: (control) => control.changeSettings(changes) };
}

function refused(status: number, code: string, end: FaultEnd, times: FaultRuleInput['times'] = 1): FaultCase {
  return on(
    `${status} ${code}${times === 1 ? '' : ', for good'}`,
    'create',
    { kind: 'error', status, code, retryAfterS: 1 },
    end,
    times,
  );
}

/** How the vendor refuses an order, by HTTP status and code. */
const refusals: readonly FaultCase[] = [
  refused(400, 'invalid_parameter', goesOn('provider_protocol')),
  refused(400, 'download_failed', goesOn('provider_failed')),
  refused(400, 'content_policy_violation', refusesJob('content_refused')),
  refused(400, 'resource_limit_reached', goesOn('provider_balance_exhausted')),
  refused(400, 'resource_limit_exceeded', goesOn('provider_balance_exhausted')),
  refused(401, 'unauthorized', goesOn('credentials_rejected')),
  refused(401, 'authentication_failed', goesOn('credentials_rejected')),
  refused(402, 'insufficient_credit', goesOn('provider_balance_exhausted')),
  {
    ...goesOn('provider_balance_exhausted'),
    name: '402, the wallet is too low',
    isPatient: false,
    script: (control) => control.setBalance(10),
  },
  refused(402, 'trial_limit_exceeded', goesOn('provider_balance_exhausted')),
  refused(402, 'plan_upgrade_required', goesOn('provider_balance_exhausted')),
  refused(403, 'forbidden', goesOn('credentials_rejected')),
  refused(403, 'resource_access_denied', goesOn('credentials_rejected')),
  refused(403, 'ai_vendor_access_restricted', goesOn('credentials_rejected')),
  refused(404, 'resource_not_found', goesOn('provider_protocol')),
  refused(404, 'not_found', goesOn('provider_protocol')),
  refused(404, 'asset_not_found', goesOn('provider_protocol')),
  refused(409, 'request_in_progress', succeeds),
  refused(409, 'resource_not_ready', succeeds),
  refused(409, 'conflict', goesOnInDoubt('provider_protocol')),
  refused(409, 'asset_not_available', succeeds),
  refused(413, 'payload_too_large', goesOn('not_supported')),
  refused(429, 'rate_limit_exceeded', succeeds),
  patiently(refused(429, 'rate_limit_exceeded', goesOn('rate_limited'), 'always')),
  refused(429, 'quota_exceeded', goesOn('provider_balance_exhausted')),
  refused(500, 'internal_error', succeeds),
  refused(500, 'internal_error', goesOnInDoubt('provider_unavailable'), 'always'),
  refused(502, 'service_unavailable', succeeds),
  refused(503, 'service_unavailable', succeeds),
  refused(504, 'gateway_timeout', succeeds),
];

/** How an operation fails that was accepted. */
const failures: readonly FaultCase[] = [
  on('failed: audio missing', 'create', { kind: 'fail', reason: 'audio_missing' }, goesOn('not_supported')),
  on('failed: video not fetched', 'create', { kind: 'fail', reason: 'download_failed' }, goesOn('provider_failed')),
  on('failed: lengths differ', 'create', { kind: 'fail', reason: 'duration_mismatch' }, goesOn('not_supported')),
  on('failed: no face', 'create', { kind: 'fail', reason: 'no_face' }, goesOn('not_supported')),
  on(
    'failed: content policy',
    'create',
    { kind: 'fail', message: 'Removed by content moderation' },
    refusesJob('content_refused'),
  ),
  on(
    'failed: words of its own',
    'create',
    { kind: 'fail', message: 'Something unheard of' },
    goesOn('provider_failed'),
  ),
];

const pages = ([500, 502, 503, 504] as const).map((status) =>
  on(`create: a gateway's page, ${status}`, 'create', { kind: 'html', status }, succeeds),
);

/** What goes wrong while files are brought to HeyGen and the order is placed. */
const orders: readonly FaultCase[] = [
  on('no fault', 'get', { kind: 'delay', delayMs: 0 }, succeeds),
  withSettings('no fault, missing values told as null', { emptyFields: 'null' }, succeeds),
  withSettings('no fault, missing values left out', { emptyFields: 'absent' }, succeeds),
  on(
    'upload: a refused key',
    'upload',
    { kind: 'error', status: 401, code: 'unauthorized' },
    goesOn('credentials_rejected'),
    'always',
  ),
  on('upload: the line breaks', 'upload', { kind: 'drop' }, succeeds),
  on(
    'upload: 503 for good',
    'upload',
    { kind: 'error', status: 503, code: 'service_unavailable' },
    goesOn('provider_unavailable'),
    'always',
  ),
  withSettings('upload: too large, 413', { simpleUploadMaxBytes: 1_000, oversizeStatus: 413 }, goesOn('not_supported')),
  withSettings(
    'upload: too large, 400',
    { simpleUploadMaxBytes: 1_000, oversizeStatus: 400 },
    goesOn('provider_protocol'),
  ),
  {
    ...succeeds,
    name: 'create: answered late',
    isPatient: false,
    script: (control, { slowMs }) =>
      control.addFaults({ match: { route: 'create' }, fault: { kind: 'delay', delayMs: slowMs } }),
  },
  on('create: accepted, then the line breaks', 'create', { kind: 'drop', accepted: true }, succeeds),
  on('create: the line breaks', 'create', { kind: 'drop' }, succeeds),
  on('create: accepted, answered by a gateway', 'create', { kind: 'html', status: 502, accepted: true }, succeeds),
  ...pages,
  on('create: nothing, 502', 'create', { kind: 'empty', status: 502 }, succeeds),
  on('create: an error in a 200', 'create', { kind: 'error_in_200' }, succeeds),
  on('create: broken JSON', 'create', { kind: 'not_json' }, goesOnInDoubt('provider_protocol')),
];

/** What goes wrong while an operation runs. */
const polls: readonly FaultCase[] = [
  on('poll: an unknown word', 'get', { kind: 'status_word', word: 'marinating' }, succeeds),
  on("poll: a gateway's page, three times", 'get', { kind: 'html', status: 502 }, succeeds, 3),
  on('poll: the line breaks, twice', 'get', { kind: 'drop' }, succeeds, 2),
  patiently(
    on(
      'poll: 503 for good',
      'get',
      { kind: 'error', status: 503, code: 'service_unavailable' },
      paysLater('provider_unavailable'),
      'always',
    ),
  ),
  on(
    'poll: 401, the key was withdrawn',
    'get',
    { kind: 'error', status: 401, code: 'unauthorized' },
    paysLater('credentials_rejected'),
    'always',
  ),
  on('poll: 429', 'get', { kind: 'error', status: 429, code: 'rate_limit_exceeded', retryAfterS: 1 }, succeeds),
  on('poll: 404 for a known id, twice', 'get', { kind: 'error', status: 404, code: 'resource_not_found' }, succeeds, 2),
  patiently(
    on(
      'poll: 404 for a known id, for good',
      'get',
      { kind: 'error', status: 404, code: 'resource_not_found' },
      paysLater('provider_unavailable'),
      'always',
    ),
  ),
  on('poll: completed without a link, three times', 'get', { kind: 'no_video_url' }, succeeds, 3),
  patiently(
    on(
      'poll: completed without a link, for good',
      'get',
      { kind: 'no_video_url' },
      paysAndGoesOn('provider_timeout'),
      'always',
    ),
  ),
  on('poll: completed without a duration', 'get', { kind: 'no_duration' }, succeeds, 'always'),
  patiently(on('stuck while pending', 'create', { kind: 'stick', status: 'pending' }, paysLater('provider_timeout'))),
  patiently(on('stuck while running', 'create', { kind: 'stick', status: 'running' }, paysLater('provider_timeout'))),
];

/** What the download brings. */
const downloads: readonly FaultCase[] = [
  on('cut off, once', 'download', { kind: 'truncate' }, succeeds),
  on('cut off, for good', 'download', { kind: 'truncate' }, paysAndGoesOn('provider_protocol'), 'always'),
  on(
    'cut short, and said to be whole',
    'download',
    { kind: 'truncate', announceWhole: false },
    paysAndGoesOn('provider_protocol'),
    'always',
  ),
  on('of the wrong type', 'download', { kind: 'content_type' }, paysAndGoesOn('provider_protocol'), 'always'),
  on(
    'redirected to a private address',
    'download',
    { kind: 'redirect', location: 'http://10.0.0.1/video.mp4' },
    paysAndGoesOn('provider_protocol'),
    'always',
  ),
  on(
    'redirected to this machine',
    'download',
    { kind: 'redirect', location: 'http://127.0.0.1:1/video.mp4' },
    paysAndGoesOn('provider_protocol'),
    'always',
  ),
  on(
    'a link to a private address',
    'get',
    { kind: 'video_url', url: 'http://169.254.169.254/video.mp4' },
    paysAndGoesOn('provider_protocol'),
    'always',
  ),
  on(
    'a link to a file',
    'get',
    { kind: 'video_url', url: 'file:///etc/passwd' },
    paysAndGoesOn('provider_protocol'),
    'always',
  ),
  on('unplayable', 'download', { kind: 'unplayable' }, paysAndGoesOn('provider_protocol'), 'always'),
  on('expired, once', 'download', { kind: 'expired' }, succeeds),
  on('expired, for good', 'download', { kind: 'expired' }, paysAndGoesOn('provider_protocol'), 'always'),
  withSettings('a link that lives for a millisecond', { linkLifetimeMs: 1 }, paysAndGoesOn('provider_protocol')),
  on('the line breaks', 'download', { kind: 'drop' }, succeeds),
];

/** Every fault of HeyGen that is known of, and what a job must make of it. */
export const faultSheet: ReadonlyMap<string, readonly FaultCase[]> = new Map([
  ['refused orders', refusals],
  ['operations that fail', failures],
  ['orders', orders],
  ['polls', polls],
  ['downloads', downloads],
]);
