import { jsonAnswer, type Answer } from '../http/answer.ts';
import { errorAnswer, errorBody, HeygenError } from '../http/heygen-error.ts';
import type { Fault } from './fault-types.ts';

/** The faults that replace a whole answer. */
export interface SpoiltAnswer {
  /** Undefined: no answer at all, the connection is cut. */
  readonly answer: Answer | undefined;
  /** Whether the request is carried out first. */
  readonly accepted: boolean;
}

/** What the first of `faults` that replaces the answer puts in its place; undefined when none does. */
export function spoiltAnswer(faults: readonly Fault[]): SpoiltAnswer | undefined {
  for (const fault of faults) {
    const spoilt = spoilOne(fault);
    if (spoilt !== undefined) return spoilt;
  }
  return undefined;
}

function spoilOne(fault: Fault): SpoiltAnswer | undefined {
  switch (fault.kind) {
    case 'drop':
      return { answer: undefined, accepted: fault.accepted };
    case 'error':
      return {
        answer: errorAnswer(new HeygenError(fault.status, fault.code, fault.message, fault)),
        accepted: fault.accepted,
      };
    case 'html':
      return {
        answer: { status: fault.status, headers: { 'Content-Type': 'text/html' }, body: gatewayPage(fault.status) },
        accepted: fault.accepted,
      };
    case 'empty':
      return { answer: { status: fault.status, headers: {}, body: '' }, accepted: fault.accepted };
    case 'not_json':
      return {
        answer: { status: 200, headers: { 'Content-Type': 'application/json' }, body: '{"data":' },
        accepted: fault.accepted,
      };
    case 'error_in_200':
      return { answer: jsonAnswer(200, errorBody({ ...fault, param: undefined })), accepted: fault.accepted };
    default:
      return undefined;
  }
}

function gatewayPage(status: number): string {
  return `<html><head><title>${status}</title></head><body><h1>${status}</h1><hr>gateway</body></html>\n`;
}
