import type { FaultRuleInput, StandinControl } from '../../packages/heygen-standin/src/index.ts';

/** One way in which HeyGen misbehaves, and what a job must make of it. */
export interface FaultCase {
  readonly name: string;
  script(control: StandinControl): void;
  /** Who makes the take; null where the job must fail. */
  readonly made: 'heygen' | 'preview' | null;
  /** What the attempt at HeyGen ends with; null where it succeeds. */
  readonly code: string | null;
}

type Fault = FaultRuleInput['fault'];
type Route = FaultRuleInput['match']['route'];
type End = readonly [made: FaultCase['made'], code: FaultCase['code']];

const succeeds: End = ['heygen', null];
const goesOn = (code: string): End => ['preview', code];

function on(name: string, route: Route, fault: Fault, [made, code]: End, times: FaultRuleInput['times'] = 1): FaultCase {
  return { name, made, code, script: (control) => control.addFaults({ match: { route }, fault, times }) };
}

function refused(status: number, code: string, end: End, times: FaultRuleInput['times'] = 1): FaultCase {
  return on(`${status} ${code}${times === 1 ? '' : ', for good'}`, 'create', { kind: 'error', status, code, retryAfterS: 1 }, end, times);
}

/** How the vendor refuses an order, by HTTP status and code. */
export const refusals: readonly FaultCase[] = [
  refused(400, 'invalid_parameter', goesOn('provider_protocol')),
  refused(400, 'download_failed', goesOn('provider_failed')),
  refused(400, 'content_policy_violation', [null, 'content_refused']),
  refused(400, 'resource_limit_reached', goesOn('provider_balance_exhausted')),
  refused(400, 'resource_limit_exceeded', goesOn('provider_balance_exhausted')),
  refused(401, 'unauthorized', goesOn('credentials_rejected')),
  refused(401, 'authentication_failed', goesOn('credentials_rejected')),
  refused(402, 'insufficient_credit', goesOn('provider_balance_exhausted')),
  { name: '402, the wallet is too low', made: 'preview', code: 'provider_balance_exhausted', script: (control) => control.setBalance(10) },
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
  refused(409, 'conflict', goesOn('provider_protocol')),
  refused(409, 'asset_not_available', succeeds),
  refused(413, 'payload_too_large', goesOn('not_supported')),
  refused(429, 'rate_limit_exceeded', succeeds),
  refused(429, 'rate_limit_exceeded', goesOn('rate_limited'), 'always'),
  refused(429, 'quota_exceeded', goesOn('provider_balance_exhausted')),
  refused(500, 'internal_error', succeeds),
  refused(500, 'internal_error', goesOn('provider_unavailable'), 'always'),
  refused(502, 'service_unavailable', succeeds),
  refused(503, 'service_unavailable', succeeds),
  refused(504, 'gateway_timeout', succeeds),
];

/** How an operation fails that was accepted. */
export const failures: readonly FaultCase[] = [
  on('failed: audio missing', 'create', { kind: 'fail', reason: 'audio_missing' }, goesOn('not_supported')),
  on('failed: video not fetched', 'create', { kind: 'fail', reason: 'download_failed' }, goesOn('provider_failed')),
  on('failed: lengths differ', 'create', { kind: 'fail', reason: 'duration_mismatch' }, goesOn('not_supported')),
  on('failed: no face', 'create', { kind: 'fail', reason: 'no_face' }, goesOn('not_supported')),
  on('failed: words of its own', 'create', { kind: 'fail', message: 'Something unheard of' }, goesOn('provider_failed')),
];

const pages = ([500, 502, 503, 504] as const).map((status) => on(`create: a gateway's page, ${status}`, 'create', { kind: 'html', status }, succeeds));

/** What else goes wrong between two programs. */
export const troubles: readonly FaultCase[] = [
  on('no fault', 'get', { kind: 'delay', delayMs: 0 }, succeeds),
  on('create: answered after 31 s', 'create', { kind: 'delay', delayMs: 31_000 }, succeeds),
  on('create: accepted, then the line breaks', 'create', { kind: 'drop', accepted: true }, succeeds),
  on('create: the line breaks', 'create', { kind: 'drop' }, succeeds),
  on('create: accepted, answered by a gateway', 'create', { kind: 'html', status: 502, accepted: true }, succeeds),
  ...pages,
  on('create: an error in a 200', 'create', { kind: 'error_in_200' }, succeeds),
  on('create: broken JSON', 'create', { kind: 'not_json' }, goesOn('provider_protocol')),
  on('upload: the line breaks', 'upload', { kind: 'drop' }, succeeds),
  on('upload: 503 for good', 'upload', { kind: 'error', status: 503, code: 'service_unavailable' }, goesOn('provider_unavailable'), 'always'),
  on('poll: an unknown word', 'get', { kind: 'status_word', word: 'marinating' }, succeeds),
  on('poll: a gateway\'s page, three times', 'get', { kind: 'html', status: 502 }, succeeds, 3),
  on('poll: 429', 'get', { kind: 'error', status: 429, code: 'rate_limit_exceeded', retryAfterS: 1 }, succeeds),
  on('poll: 404 for a known id, twice', 'get', { kind: 'error', status: 404, code: 'resource_not_found' }, succeeds, 2),
  on('poll: completed without a link, three times', 'get', { kind: 'no_video_url' }, succeeds, 3),
  on('poll: completed without a link, for good', 'get', { kind: 'no_video_url' }, goesOn('provider_timeout'), 'always'),
  on('poll: completed without a duration', 'get', { kind: 'no_duration' }, succeeds, 'always'),
  on('stuck while pending', 'create', { kind: 'stick', status: 'pending' }, goesOn('provider_timeout')),
  on('stuck while running', 'create', { kind: 'stick', status: 'running' }, goesOn('provider_timeout')),
];

/** What the download brings. */
export const downloads: readonly FaultCase[] = [
  on('cut off, once', 'download', { kind: 'truncate' }, succeeds),
  on('cut off, for good', 'download', { kind: 'truncate' }, goesOn('provider_protocol'), 'always'),
  on('cut short, and said to be whole', 'download', { kind: 'truncate', announceWhole: false }, goesOn('provider_protocol'), 'always'),
  on('of the wrong type', 'download', { kind: 'content_type' }, goesOn('provider_protocol'), 'always'),
  on('redirected to a private address', 'download', { kind: 'redirect', location: 'http://10.0.0.1/video.mp4' }, goesOn('provider_protocol'), 'always'),
  on('redirected to this machine', 'download', { kind: 'redirect', location: 'http://127.0.0.1:1/video.mp4' }, goesOn('provider_protocol'), 'always'),
  on('a link to a private address', 'get', { kind: 'video_url', url: 'http://169.254.169.254/video.mp4' }, goesOn('provider_protocol'), 'always'),
  on('a link to a file', 'get', { kind: 'video_url', url: 'file:///etc/passwd' }, goesOn('provider_protocol'), 'always'),
  on('unplayable', 'download', { kind: 'unplayable' }, goesOn('provider_protocol'), 'always'),
  on('expired, once', 'download', { kind: 'expired' }, succeeds),
  on('expired, for good', 'download', { kind: 'expired' }, goesOn('provider_protocol'), 'always'),
  on('the line breaks', 'download', { kind: 'drop' }, succeeds),
];
