import { describe, expect, it } from 'vitest';
import { cleanVendorText, createRefusalError, toFailureCode } from './heygen-errors.ts';

describe('createRefusalError', () => {
  it('The error code of HeyGen takes precedence over the HTTP status.', () => {
    const refusal = {
      httpStatus: 500,
      reason: { code: 'insufficient_credit', message: 'You have $0' },
      requestId: 'r-1',
      retryAfterMs: 2_000,
    };
    const error = createRefusalError(refusal, 'POST /v3/lipsyncs');
    expect(error.code).toBe('provider_balance_exhausted');
    expect(error).toMatchObject({
      httpStatus: 500,
      retryAfterMs: 2_000,
      details: { vendorCode: 'insufficient_credit', requestId: 'r-1' },
    });
    expect(error.message).toContain('You have $0 (insufficient_credit)');
    expect(error.message).toContain('r-1');
  });

  it.each([
    [301, 'provider_protocol'],
    [400, 'provider_protocol'],
    [401, 'credentials_rejected'],
    [402, 'provider_balance_exhausted'],
    [403, 'credentials_rejected'],
    [404, 'provider_protocol'],
    [405, 'provider_protocol'],
    [408, 'provider_unavailable'],
    [409, 'rate_limited'],
    [413, 'not_supported'],
    [422, 'provider_protocol'],
    [429, 'rate_limited'],
    [500, 'provider_unavailable'],
    [502, 'provider_unavailable'],
    [503, 'provider_unavailable'],
    [504, 'provider_unavailable'],
    [530, 'provider_unavailable'],
  ])('A response with status %i and no known code becomes %s.', (httpStatus, code) => {
    expect(
      createRefusalError({ httpStatus, reason: null, requestId: null, retryAfterMs: null }, 'GET /v3/x').code,
    ).toBe(code);
    expect(
      createRefusalError(
        { httpStatus, reason: { code: 'unknown_code', message: null }, requestId: null, retryAfterMs: null },
        'GET /v3/x',
      ).code,
    ).toBe(code);
  });
});

describe('requestOutcome', () => {
  const isRefused = (httpStatus: number, code: string | null): boolean =>
    createRefusalError(
      { httpStatus, reason: { code, message: 'x' }, requestId: null, retryAfterMs: null },
      'POST /v3/x',
    ).requestOutcome === 'refused';

  it.each<[number, string | null]>([
    [200, null],
    [200, 'brand_new'],
    [200, 'conflict'],
    [200, 'Internal_Error'],
    [302, 'invalid_parameter'],
    [400, 'internal_error'],
    [409, null],
    [409, 'idempotency_conflict'],
    [409, 'conflict'],
    [409, 'request_in_progress'],
    [408, null],
    [500, 'insufficient_credit'],
  ])('Status %i with the code %s leaves open whether an operation was started.', (httpStatus, code) => {
    expect(isRefused(httpStatus, code)).toBe(false);
  });

  it.each<[number, string | null]>([
    [200, 'insufficient_credit'],
    [200, 'rate_limit_exceeded'],
    [400, null],
    [402, 'brand_new'],
    [409, 'resource_not_ready'],
  ])('Status %i with the code %s means that no operation was started.', (httpStatus, code) => {
    expect(isRefused(httpStatus, code)).toBe(true);
  });
});

describe('toFailureCode', () => {
  it.each([
    ["Your video's audio is missing or corrupted, please try with another video", 'not_supported'],
    ['Failed to download video from url, please check the url is valid or the video is public', 'provider_failed'],
    ['The duration of the audio differs too much from the duration of the video', 'not_supported'],
    ['No face was detected in the video, please try with another video', 'not_supported'],
    ['Lip region too small', 'not_supported'],
    ['Lip-sync failed', 'provider_failed'],
    ['The lip sync could not be generated', 'provider_failed'],
    ['Rejected by content moderation', 'content_refused'],
    ['This video violates our content policy', 'content_refused'],
    ['Video generation failed, please try again', 'provider_failed'],
    ['Surface could not be allocated', 'provider_failed'],
    ['', 'provider_failed'],
  ])('The failure message "%s" becomes %s.', (message, code) => {
    expect(toFailureCode(message)).toBe(code);
  });
});

describe('cleanVendorText', () => {
  it('The key, link signatures, control characters and excess length are removed.', () => {
    const text = `key sk_secret rejected\r\nfor https://files.example/out.mp4?Signature=abc&X=1 \u0007${'x'.repeat(2_000)}`;
    const clean = cleanVendorText(text, 'sk_secret');
    expect(clean).toMatch(/^key \[key\] rejected for https:\/\/files\.example\/out\.mp4  ?x+…$/);
    expect(clean.length).toBe(501);
  });
});
