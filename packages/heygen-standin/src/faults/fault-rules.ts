import { faultRuleSchema, type Fault, type FaultRule, type FaultRuleInput, type RouteName } from './fault-types.ts';

/** What a request is, as far as rules look at it. */
export interface FaultSubject {
  readonly route: RouteName;
  readonly title?: string | null | undefined;
  readonly callbackId?: string | null | undefined;
  readonly lipsyncId?: string | undefined;
}

export interface FaultRules {
  /** Throws a ZodError for a rule that is malformed or could never fire; then none of `rules` is kept. */
  add(rules: readonly FaultRuleInput[]): void;
  /** The faults that happen to this request, in the order of their rules; each is counted as used. */
  take(subject: FaultSubject): readonly Fault[];
  /** Every rule with how often it fitted and how often it struck. */
  list(): readonly FaultRuleState[];
  clear(): void;
}

export interface FaultRuleState extends FaultRule {
  readonly fitted: number;
  readonly struck: number;
}

export function createFaultRules(): FaultRules {
  let states: FaultRuleState[] = [];
  return {
    add(rules) {
      const parsed = rules.map((rule) => faultRuleSchema.parse(rule));
      states.push(...parsed.map((rule) => ({ ...rule, fitted: 0, struck: 0 })));
    },
    take(subject) {
      const strikes = states.map((state) => fits(state.match, subject) && isDue(state));
      const faults = states.flatMap((state, index) => (strikes[index] ? [state.fault] : []));
      states = states.map((state, index) => {
        if (!fits(state.match, subject)) return state;
        return { ...state, fitted: state.fitted + 1, struck: state.struck + (strikes[index] ? 1 : 0) };
      });
      return faults;
    },
    list: () => states,
    clear() {
      states = [];
    },
  };
}

function isDue({ match, times, fitted, struck }: FaultRuleState): boolean {
  return fitted + 1 >= match.nth && (times === 'always' || struck < times);
}

function fits(match: FaultRule['match'], subject: FaultSubject): boolean {
  if (match.route !== subject.route) return false;
  if (match.title !== undefined && match.title !== subject.title) return false;
  if (match.callbackId !== undefined && match.callbackId !== subject.callbackId) return false;
  return match.lipsyncId === undefined || match.lipsyncId === subject.lipsyncId;
}
