import { errorAnswer, errorBody, HeygenError, jsonAnswer, type Answer } from '../http/answer.ts';
import { faultRuleSchema, type Fault, type FaultRule, type FaultRuleInput, type RouteName } from './fault-types.ts';

/** The facts about a request that rules match. */
export interface FaultSubject {
  readonly route: RouteName;
  readonly title?: string | null | undefined;
  readonly callbackId?: string | null | undefined;
  readonly lipsyncId?: string | undefined;
}

export interface FaultRuleState extends FaultRule {
  /** Requests that the rule matched. */
  readonly fitted: number;
  /** Requests that the fault was applied to. */
  readonly struck: number;
}

/** The scripted faults. */
export class FaultRules {
  #states: readonly FaultRuleState[] = [];

  /** Throws a ZodError for a rule that is malformed or can never match, and then adds none of them. */
  add(rules: readonly FaultRuleInput[]): void {
    const parsed = rules.map((rule) => faultRuleSchema.parse(rule));
    this.#states = [...this.#states, ...parsed.map((rule) => ({ ...rule, fitted: 0, struck: 0 }))];
  }

  /** Returns the faults that apply to a request, in the order of their rules, and counts them as used. */
  take(subject: FaultSubject): readonly Fault[] {
    const faults: Fault[] = [];
    this.#states = this.#states.map((state) => {
      if (!matches(state.match, subject)) return state;
      const applies = isDue(state);
      if (applies) faults.push(state.fault);
      return { ...state, fitted: state.fitted + 1, struck: state.struck + (applies ? 1 : 0) };
    });
    return faults;
  }

  list(): readonly FaultRuleState[] {
    return this.#states;
  }

  clear(): void {
    this.#states = [];
  }
}

function isDue({ match, times, fitted, struck }: FaultRuleState): boolean {
  return fitted + 1 >= match.nth && (times === 'always' || struck < times);
}

function matches(match: FaultRule['match'], subject: FaultSubject): boolean {
  if (match.route !== subject.route) return false;
  if (match.title !== undefined && match.title !== subject.title) return false;
  if (match.callbackId !== undefined && match.callbackId !== subject.callbackId) return false;
  return match.lipsyncId === undefined || match.lipsyncId === subject.lipsyncId;
}

/** A response that replaces the real one. */
export interface ReplacementAnswer {
  /** Undefined cuts the connection. */
  readonly answer: Answer | undefined;
  /** Whether the request is processed first. */
  readonly accepted: boolean;
}

/** Returns the replacement of the first fault that replaces the response. */
export function findReplacement(faults: readonly Fault[]): ReplacementAnswer | undefined {
  for (const fault of faults) {
    const replacement = replaceAnswer(fault);
    if (replacement !== undefined) return replacement;
  }
  return undefined;
}

function replaceAnswer(fault: Fault): ReplacementAnswer | undefined {
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
