export type { OperationFacts, OperationsState, StandinControl } from './control.ts';
export type { FaultRuleState } from './faults/fault-rules.ts';
export { failureMessages, type Fault, type FaultRuleInput, type RouteName } from './faults/fault-types.ts';
export type { LoggedRequest } from './http/request-log.ts';
export type { Charge, WalletState } from './lipsyncs/wallet.ts';
export type { HeygenStandinOptions } from './parts.ts';
export { mouthModes, type MouthMode, type StandinSettings } from './settings.ts';
export { startHeygenStandin, type HeygenStandin } from './standin.ts';
export type { Delivery } from './webhook-sender.ts';
